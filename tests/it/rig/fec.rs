//! MPEG-TS over RTP with error correction: three ports, and a network that loses what goes to them.

use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use super::millis;

/// Sockets at a free port of media and those of what protects it, 2 and 4 further.
pub fn sockets() -> [UdpSocket; 3] {
    let try_bind = || {
        let first = UdpSocket::bind("127.0.0.1:0").ok()?;
        let port = first.local_addr().ok()?.port();
        let beside = |distance| UdpSocket::bind(("127.0.0.1", port.checked_add(distance)?)).ok();
        Some([first, beside(2)?, beside(4)?])
    };
    (0..100).find_map(|_| try_bind()).expect("no three ports are free")
}

/// Such a port that nobody uses now.
pub fn free() -> u16 {
    sockets()[0].local_addr().unwrap().port()
}

/// A network that loses some of a thousand datagrams, of media and of what protects it.
pub struct Lossy {
    /// The port of media of the near side.
    pub port: u16,
    /// Datagrams of media that were lost.
    lost: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Lossy {
    /// A network in front of this port and those beside it.
    pub fn start(to: u16, loss: u64, seed: u64) -> Self {
        let near = sockets();
        let (lost, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let port = near[0].local_addr().unwrap().port();
        let threads = near.into_iter().zip(0..).map(|(near, number)| {
            let (lost, stop) = (lost.clone(), stop.clone());
            let far = UdpSocket::bind("127.0.0.1:0").unwrap();
            far.connect(("127.0.0.1", to + 2 * number)).unwrap();
            socket2::SockRef::from(&near).set_recv_buffer_size(4 << 20).unwrap();
            near.set_read_timeout(Some(millis(50))).unwrap();
            let mut seed = seed.wrapping_add(number.into()) | 1;
            std::thread::spawn(move || {
                let mut buffer = [0; 2048];
                while !stop.load(Ordering::Relaxed) {
                    let Ok(length) = near.recv(&mut buffer) else { continue };
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    if (seed >> 33) % 1000 >= loss {
                        // Nobody may listen yet.
                        let _ = far.send(&buffer[..length]);
                    } else if number == 0 {
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        });
        let threads = threads.collect();
        Self { port, lost, stop, threads }
    }

    /// Datagrams of media that were lost.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}
