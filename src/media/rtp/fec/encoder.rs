//! Packets that are sent → packets that protect them.

use super::{
    packet::{Direction, Protected, write},
    parity::Parity,
};

/// The layout of what is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matrix {
    /// Packets of a row.
    pub columns: u8,
    /// Packets of a column.
    pub rows: u8,
    /// Whether rows are protected as well as columns.
    pub protects_rows: bool,
}

/// Makes the packets of one sender, whose packets come in order.
///
/// That of a row leaves after the last packet of the row. That of a column leaves one row later than the last packet of the column: as many lost
/// packets in a row as there are columns never take both.
#[derive(Debug)]
pub struct Encoder {
    matrix: Matrix,
    /// Where in the matrix the next packet is.
    at: usize,
    row: Sum,
    columns: Vec<Sum>,
    /// Numbers of the next packets of columns and of rows.
    sequences: [u16; 2],
}

/// Packets that were summed up.
#[derive(Debug, Default)]
struct Sum {
    base: u16,
    count: u8,
    parity: Parity,
}

impl Sum {
    fn add(&mut self, sequence: u16, packet: &[u8]) {
        if self.count == 0 {
            self.base = sequence;
        }
        self.count = self.count.saturating_add(1);
        self.parity.add(packet);
    }
}

impl Encoder {
    /// Begins with these numbers, for packets that protect columns and rows.
    pub fn new(matrix: Matrix, sequences: [u16; 2]) -> Self {
        let columns = std::iter::repeat_with(Sum::default).take(matrix.columns.into()).collect();
        Self { matrix, at: 0, row: Sum::default(), columns, sequences }
    }

    /// Takes the packet that was sent, with its number and the time of sending in its ticks. Appends what is to be sent now.
    pub fn push(&mut self, packet: &[u8], (sequence, timestamp): (u16, u32), out: &mut Vec<(Direction, Vec<u8>)>) {
        let Matrix { columns, rows, protects_rows } = self.matrix;
        let of_row = usize::from(columns).max(1);
        let (row, column) = (self.at / of_row, self.at % of_row);
        self.at = (self.at + 1) % (of_row * usize::from(rows).max(1));
        if let Some(sum) = self.columns.get_mut(column) {
            if row == 0 {
                let whole = std::mem::take(sum);
                if whole.count == rows {
                    out.push((Direction::Column, self.sent(Direction::Column, columns, &whole, timestamp)));
                }
            }
            if let Some(sum) = self.columns.get_mut(column) {
                sum.add(sequence, packet);
            }
        }
        if protects_rows {
            self.row.add(sequence, packet);
            if column + 1 == of_row {
                let whole = std::mem::take(&mut self.row);
                out.push((Direction::Row, self.sent(Direction::Row, 1, &whole, timestamp)));
            }
        }
    }

    fn sent(&mut self, direction: Direction, offset: u8, sum: &Sum, timestamp: u32) -> Vec<u8> {
        let [of_columns, of_rows] = &mut self.sequences;
        let next = if direction == Direction::Column { of_columns } else { of_rows };
        let sequence = *next;
        *next = next.wrapping_add(1);
        let protected = Protected { direction, base: sum.base, offset, count: sum.count };
        write(protected, &sum.parity, sequence, timestamp)
    }
}
