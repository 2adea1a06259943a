use super::*;
use reprise_core::board::Board;
use reprise_core::cpu::{Model, cr0, cr4, efer};
use reprise_core::interp::Interpreter;

/// The last 4 KiB of the address space, and beside other pages that are not mapped those at 0x1000, 0x2000 and 0x4000;
/// physical addresses are higher by 0x10000 there. vCPU 1 has no paging.
fn machine() -> Machine {
    let model = Model::find(Model::DEFAULT).unwrap();
    let mut machine = Machine::new(Board::new(1 << 20, 2).unwrap(), model, Box::new(Interpreter::new(model)));
    let tables = [
        (0x1_0000u64, 0x1_1001u64),
        (0x1_0ff8, 0x1_1001),
        (0x1_1000, 0x1_2001),
        (0x1_1ff8, 0x1_2001),
        (0x1_2000, 0x1_3001),
        (0x1_2ff8, 0x1_3001),
        (0x1_3008, 0x2_1001),
        (0x1_3010, 0x2_2001),
        (0x1_3020, 0x2_4001),
        (0x1_3ff8, 0x2_f001),
    ];
    for (address, entry) in tables {
        machine.board.dma_write(address, &entry.to_le_bytes());
    }
    machine.board.dma_write(0x2_1ffe, b"need");
    machine.board.dma_write(0x2_4010, b"needle#}");
    machine.board.dma_write(0x2_fffe, b"en");
    let cpu = &mut machine.cpus[0];
    (cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer) = (cr0::PE | cr0::PG, 0x1_0000, cr4::PAE, efer::LME | efer::LMA);
    machine
}

fn packets() -> Packets {
    Packets::new(Features::new(Model::find(Model::DEFAULT).unwrap()))
}

/// The answers to requests about vCPU 0 at first; what is passed on has `>` before it.
fn answers(requests: &[&str]) -> Vec<String> {
    let (machine, mut packets, mut selected) = (machine(), packets(), 0);
    let mut answer = |request: &&str| match packets.request(request.as_bytes(), &machine, &mut selected) {
        Verdict::Pass(body) => format!(">{}", String::from_utf8_lossy(&body)),
        Verdict::Answer(body) => String::from_utf8_lossy(&body).into_owned(),
    };
    requests.iter().map(&mut answer).collect()
}

fn answer(request: &str) -> String {
    answers(&[request]).remove(0)
}

#[test]
fn memory_is_read_as_far_as_there_is_any() {
    assert_eq!(answer("m1ffe,4"), "6e656564");
    assert_eq!(answer("m2ffe,10"), "0000");
    assert_eq!(answer("m3000,1"), "E0e");
    assert_eq!(answer("m4010,ffffffffffffffff").len(), 2 * (0x1000 - 0x10));
    assert_eq!(answer("mfffffffffffffffe,10"), "656e");
    assert_eq!(answer("m800000000000,1"), "E0e", "not canonical");
    assert_eq!(answer("m1000,0"), "");
    assert_eq!(answer("x4014,4"), "ble}\u{3}}]");
    assert_eq!(answer("x3000,4"), "E0e");
    for malformed in ["m", "m,", "m1000", "m1000,", "m1000,x", "m-1,1", "m1000,1,1", "x", "m10000000000000000,1"] {
        assert_eq!(answer(malformed), "E16", "{malformed}");
    }
}

#[test]
fn memory_is_that_of_the_selected_vcpu() {
    assert_eq!(answers(&["m24010,2", "Hgp1.2", "m24010,2", "qC"]), ["E0e", ">Hg2", "6e65", "QC2"]);
    assert_eq!(answers(&["qSupported:multiprocess+;xmlRegisters=i386", "Hg0", "qC"])[1..], [">Hg1", "QCp1.1"]);
    for nobody in ["Hgp1.3", "Hg3", "Hg-1", "Hgp1", "Hg", "Hgp2.1", "Hgx"] {
        assert_eq!(answers(&[nobody, "qC"]), ["E16", "QC1"], "{nobody}");
    }
}

#[test]
fn addresses_are_physical_if_the_client_says_so() {
    let said = answers(&["qqemu.Supported", "qqemu.PhyMemMode", "Qqemu.PhyMemMode:1", "qqemu.PhyMemMode", "m24010,2"]);
    assert_eq!(said, ["PhyMemMode", "0", "OK", "1", "6e65"]);
    assert_eq!(answers(&["Qqemu.PhyMemMode:1", "mfffff,4"])[1], "00ffffff", "ones behind RAM");
    assert_eq!(answers(&["Qqemu.PhyMemMode:1", "mffffffffffffffff,4"])[1], "ff");
    assert_eq!(answers(&["Qqemu.PhyMemMode:1", "Qqemu.PhyMemMode:0", "m24010,2"])[2], "E0e");
    assert_eq!((answer("Qqemu.PhyMemMode:2"), answer("Qqemu.PhyMemMode")), ("E16".into(), "E16".into()));
}

#[test]
fn a_search_finds_what_lies_across_pages_and_goes_on_behind_holes() {
    assert_eq!(answer("qSearch:memory:1000;2000;need"), "1,1ffe");
    assert_eq!(answer("qSearch:memory:1fff;10;need"), "0");
    assert_eq!(answer("qSearch:memory:1ffe;4;need"), "1,1ffe");
    assert_eq!(answer("qSearch:memory:1ffe;3;need"), "0", "the last byte is out of the range");
    assert_eq!(answer("qSearch:memory:1fff;100000;needle"), "1,4010");
    assert_eq!(answer("qSearch:memory:0;ffffffff;le}\u{3}}]"), "1,4014");
    assert_eq!(answer("qSearch:memory:5000;10000;need"), "E0e", "nothing is mapped");
    assert_eq!(answer("qSearch:memory:fffffffffffff000;100000;en"), "1,fffffffffffffffe");
    assert_eq!(answer("qSearch:memory:fffffffffffff000;100000;nix"), "0");
    assert_eq!(answer("qSearch:memory:1000;0;need"), "E0e");
    assert!(answer("qSearch:memory:0;ffffffffffffffff;need").starts_with("E."));
    for malformed in ["", "1000", "1000;1", "1000;1;", "1000;1;}", "x;1;a", ";;"] {
        assert_eq!(answer(&format!("qSearch:memory:{malformed}")), "E16", "{malformed}");
    }
}

#[test]
fn a_search_finds_what_memory_at_once_would_show() {
    let machine = machine();
    let memory = Memory { view: machine.view(1), physical: false };
    let mut all = vec![0; 1 << 18];
    machine.read_physical(0, &mut all);
    for (start, len, pattern) in
        [(0, 1 << 18, &b"needle"[..]), (0x1_0000, 0x2_0000, b"\x01\x30\x01"), (3, 0x2_4013, b"needle"), (5, 99, b"x")]
    {
        let expected = all[start..start + len].windows(pattern.len()).position(|window| window == pattern);
        let request = [format!("{start:x};{len:x};").as_bytes(), pattern].concat();
        let expected = expected.map_or("0".into(), |at| format!("1,{:x}", start + at));
        assert_eq!(String::from_utf8(memory.answer_search(&request)).unwrap(), expected);
    }
}

#[test]
fn gdbstub_gets_breakpoints_without_their_conditions() {
    let (machine, mut packets, mut selected) = (machine(), packets(), 0);
    let mut ask = |packets: &mut Packets, body: &[u8]| packets.request(body, &machine, &mut selected);
    let pass = |body: &[u8]| Verdict::Pass(body.to_vec());
    assert_eq!(ask(&mut packets, b"Z0,1000,1;X3,220027"), pass(b"Z0,1000,1"));
    assert!(packets.condition(0x1000).is_some_and(|it| !it.holds(&machine.cpus[0], &machine.board)));
    assert_eq!(ask(&mut packets, b"Z2,1000,8"), pass(b"Z2,1000,8"));
    assert_eq!(ask(&mut packets, b"z2,1000,8"), pass(b"z2,1000,8"));
    assert!(packets.condition(0x1000).is_some());
    assert_eq!(ask(&mut packets, b"z0,1000,1"), pass(b"z0,1000,1"));
    assert!(packets.condition(0x1000).is_none());
    for malformed in [b"Z0,1000".as_slice(), b"Z0,1000,1;X", b"Z1,1000,1;cmds:0,X1,27"] {
        assert_eq!(ask(&mut packets, malformed), Verdict::Answer(b"E16".to_vec()));
    }
}

#[test]
fn clients_are_told_what_there_is_once() {
    let (machine, mut packets) = (machine(), packets());
    assert_eq!(packets.reply(b"PacketSize=1000".to_vec()), b"PacketSize=1000");
    packets.request(b"qSupported:multiprocess+", &machine, &mut 0);
    let told = packets.reply(b"PacketSize=1000;vContSupported+".to_vec());
    assert_eq!(told, b"PacketSize=1000;vContSupported+;ConditionalBreakpoints+;binary-upload+");
    assert_eq!(packets.reply(b"PacketSize=1000".to_vec()), b"PacketSize=1000");
}

#[test]
fn everything_else_is_passed_on_as_it_is() {
    for body in ["", "?", "g", "G00", "M1000,1:00", "vCont;c", "qfThreadInfo", "Hc-1", "vMustReplyEmpty", "X0,0:", "k"]
    {
        assert_eq!(answer(body), format!(">{body}"));
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % limit as u64) as usize
    }

    /// A request that is right but for some bytes.
    fn request(&mut self) -> Vec<u8> {
        const STARTS: [&[u8]; 9] = [
            b"m1000,40",
            b"xfffffffffffffff0,40",
            b"qSearch:memory:1000;100;need",
            b"Z0,1000,1;X3,220027X5,2200202700",
            b"z1,1000,1",
            b"Hgp1.2",
            b"Qqemu.PhyMemMode:1",
            b"qSupported:multiprocess+",
            b"qC",
        ];
        let mut body = STARTS[self.below(STARTS.len())].to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(body.len() + 1);
            match self.below(4) {
                0 => body.truncate(at),
                1 => body.insert(at, b"0123456789abcdef,;:X}#$*-"[self.below(25)]),
                2 => body.insert(at, self.below(256) as u8),
                _ => body.splice(at..at, [b'f'; 16]).for_each(drop),
            }
            if body.is_empty() {
                return body;
            }
        }
        body
    }
}

/// Whatever a client asks, there is an answer of a bounded length, and the machine is as before.
#[test]
fn random_requests_do_no_harm() {
    let (mut machine, mut packets, mut random, mut selected) = (machine(), packets(), Random(9), 0);
    let before = machine.fingerprint();
    let mut answered = 0;
    for _ in 0..20_000 {
        match packets.request(&random.request(), &machine, &mut selected) {
            Verdict::Answer(body) => {
                assert!(body.len() <= 64 << 10);
                answered += usize::from(!body.starts_with(b"E"));
            }
            Verdict::Pass(body) => assert!(body.len() <= 256),
        }
        assert!(selected < 2);
    }
    assert!(answered > 1000, "{answered}");
    assert_eq!(machine.fingerprint(), before);
}
