//! How busy the machine is, from `/proc` (proc(5)).

use std::{fs, time::Duration};

/// How busy the machine is at one moment. What cannot be read is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MachineLoad {
    /// Means of the last 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Since the machine started.
    pub uptime: Duration,
    /// How long its processors had nothing to do, all together.
    pub idle: Duration,
    /// Processors.
    pub processors: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// How much of it is free, or can be had.
    pub available: u64,
    /// Bytes of swap, and how much of it is free.
    pub swap: (u64, u64),
    /// What its networks have received and sent, but for the machine itself.
    pub network: (u64, u64),
    /// The same within the machine.
    pub own_network: (u64, u64),
    /// TCP sockets that are in use, and those that wait after their end.
    pub tcp: (u64, u64),
    /// UDP sockets.
    pub udp: u64,
}

/// The load now.
pub fn read() -> MachineLoad {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let texts = ["/proc/loadavg", "/proc/uptime", "/proc/meminfo", "/proc/net/dev", "/proc/net/sockstat"].map(file);
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    MachineLoad { processors, ..parsed(&texts) }
}

fn parsed([load, uptime, memory, devices, sockets]: &[String; 5]) -> MachineLoad {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    let mut means = load.split_ascii_whitespace();
    let mut times = uptime.split_ascii_whitespace();
    let mut time = || Duration::try_from_secs_f64(number(times.next())).unwrap_or_default();
    let kilobytes = |name: &str| {
        let line = memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
    };
    let mut found = MachineLoad {
        load: [number(means.next()), number(means.next()), number(means.next())],
        uptime: time(),
        idle: time(),
        memory: kilobytes("MemTotal"),
        available: kilobytes("MemAvailable"),
        swap: (kilobytes("SwapTotal"), kilobytes("SwapFree")),
        ..MachineLoad::default()
    };
    for (name, counts) in devices.lines().filter_map(|line| line.split_once(':')) {
        let counts: Vec<u64> = counts.split_ascii_whitespace().filter_map(|count| count.parse().ok()).collect();
        // Bytes received come first, bytes sent ninth.
        let (received, sent) = (counts.first().copied().unwrap_or(0), counts.get(8).copied().unwrap_or(0));
        let sums = if name.trim() == "lo" { &mut found.own_network } else { &mut found.network };
        *sums = (sums.0.saturating_add(received), sums.1.saturating_add(sent));
    }
    let of_sockets = |protocol: &str, what: &str| {
        let line = sockets.lines().find_map(|line| line.strip_prefix(protocol)?.strip_prefix(':'));
        let mut words = line.unwrap_or_default().split_ascii_whitespace();
        words.find(|word| *word == what).and_then(|_| words.next()?.parse().ok()).unwrap_or(0)
    };
    found.tcp = (of_sockets("TCP", "inuse"), of_sockets("TCP", "tw"));
    found.udp = of_sockets("UDP", "inuse");
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_proc_are_read() {
        let texts = [
            "0.50 1.25 2.00 3/500 4242\n",
            "1000.50 1500.25\n",
            "MemTotal:       8000000 kB\nMemFree:  1 kB\nMemAvailable:   6000000 kB\nSwapTotal: 100 kB\nSwapFree: 40 kB\n",
            "Inter-|   Receive |  Transmit\n face |bytes    packets\n    lo: 11 1 0 0 0 0 0 0 12 1 0 0 0 0 0 0\n  \
             eth0: 1000 9 0 0 0 0 0 0 2000 8 0 0 0 0 0 0\n eth1:5 0 0 0 0 0 0 0 6 0 0 0 0 0 0 0\n",
            "sockets: used 300\nTCP: inuse 27 orphan 0 tw 5 alloc 40 mem 3\nUDP: inuse 3 mem 2\nUDPLITE: inuse 9\n",
        ];
        let expect = MachineLoad {
            load: [0.5, 1.25, 2.0],
            uptime: Duration::from_millis(1_000_500),
            idle: Duration::from_millis(1_500_250),
            processors: 0,
            memory: 8_000_000 << 10,
            available: 6_000_000 << 10,
            swap: (100 << 10, 40 << 10),
            network: (1005, 2006),
            own_network: (11, 12),
            tcp: (27, 5),
            udp: 3,
        };
        assert_eq!(parsed(&texts.map(str::to_owned)), expect);
        assert_eq!(parsed(&["x", "-1", "MemTotal:", ":", "TCP: tw"].map(str::to_owned)), MachineLoad::default());
        assert!(read().memory > 1 << 20 && read().processors > 0);
    }
}
