//! What frames cost on their way into a datagram and out of it: `cargo bench -p decury-common --bench codec`.

#![allow(clippy::unwrap_used, reason = "a benchmark of its own making decodes")]

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use decury_common::base::id::{GroupId, Incarnation, MemberId, ViewId};
use decury_common::wire::multicast::{Ack, Acks, Data, Deps, Head, Newest, Span};
use decury_common::wire::order::{Agreed, Proposals};
use decury_common::wire::{Frame, Header, Packer, Section, Unpacker};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let small = Data { sender: 3, seq: 1_000_000, head: Some(head()), last: true, payload: &[7; 64] };
    let large = Data { payload: &[7; 1024], ..small.clone() };
    for (name, frame) in [
        ("data, 64 B", Frame::Data(small)),
        ("data, 1 KiB", Frame::Data(large)),
        ("acks, 10 members", Frame::Acks(acks())),
        ("proposals, 16 ranges", Frame::Proposals(proposals())),
    ] {
        codec(&mut criterion, name, &frame);
    }
    criterion.final_summary();
}

/// A datagram full of these frames, written and read. Figures are per frame.
fn codec(criterion: &mut Criterion, name: &str, frame: &Frame<'_>) {
    let (bytes, frames) = full(frame);
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(frames));
    group.bench_function("encode", |bencher| bencher.iter(|| full(black_box(frame))));
    group.bench_function("decode", |bencher| bencher.iter(|| decode(black_box(&bytes))));
    group.finish();
}

fn full(frame: &Frame<'_>) -> (Vec<u8>, u64) {
    let view =
        ViewId { number: 9, coordinator: MemberId { incarnation: Incarnation(u64::MAX / 3), join: 0 } };
    let section = Section { group: GroupId(u64::MAX / 5), view: Some(view) };
    let mut packer = Packer::new(Header { from: Incarnation(1), to: Some(Incarnation(2)), hops: 0 });
    let mut frames = 0;
    while packer.push_in(section, frame) {
        frames += 1;
    }
    (packer.finish(), frames)
}

fn decode(bytes: &[u8]) -> u64 {
    let (_, mut unpacker) = Unpacker::new(bytes).unwrap();
    let mut frames = 0;
    while let Some(frame) = unpacker.next_frame().unwrap() {
        black_box(frame);
        frames += 1;
    }
    frames
}

fn head() -> Head {
    let deps = Deps::from_iter([(1, 1_000_000), (2, 999_000)]);
    Head { count: 1_000_000, deps, proposal: 2_000_000, sent_at: None }
}

fn acks() -> Acks {
    let beyond = [Span { gap: 1, len: 3 }, Span { gap: 2, len: 40 }].into_iter().collect();
    let one = Ack { contiguous: 1_000_000, undelivered: 20, beyond };
    Acks {
        stable: 999_000,
        newest: Some(Newest { number: 70_000, held_us: 300 }),
        of: std::iter::repeat_n(one, 10).collect(),
    }
}

fn proposals() -> Proposals {
    let range = |n: u64| Agreed { first: 1_000_000 + 20 * n, len: 20, counter: 2_000_000 + n, rank: 4 };
    Proposals { ranges: (0..16).map(range).collect() }
}
