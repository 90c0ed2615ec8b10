//! What one event costs: folded alone, and encoded, hashed and folded.

use std::hint::black_box;

use benches::world::World;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dstack_core::model::{Record, State};

fn fold(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fold");
    group.sample_size(10);
    for (workflows, runners) in [(10_000, 1_000), (100_000, 10_000)] {
        let world = World::happy(workflows, runners);
        group.throughput(Throughput::Elements(world.seq().get()));
        group.bench_function(format!("{workflows}_workflows"), |bencher| {
            bencher.iter_batched(
                State::default,
                |mut state| {
                    state.apply_all(&world.records);
                    black_box(state)
                },
                BatchSize::LargeInput,
            );
        });
    }
    let world = World::happy(10_000, 1_000);
    let events: Vec<_> = world.records.iter().filter_map(Record::event).cloned().collect();
    group.throughput(Throughput::Elements(world.seq().get()));
    group.bench_function("encode_hash_fold", |bencher| {
        bencher.iter_batched(
            || (World::default(), events[1..].to_vec()),
            |(mut world, events)| {
                for event in events {
                    world.add(event);
                }
                world
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// A state with everything waiting, from its snapshot and from its records.
fn snapshot(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("snapshot");
    group.sample_size(10);
    let mut world = World::happy(100_000, 1_000);
    world.submit(2, 1_000, 50);
    let snapshot = world.state.to_snapshot();
    println!("a state with 1,000 waiting and 100,000 over: {} bytes", snapshot.bytes.len());
    group.bench_function("load", |bencher| bencher.iter(|| State::from_snapshot(black_box(&snapshot))));
    group.bench_function("save", |bencher| bencher.iter(|| black_box(&world.state).to_snapshot()));
    group.bench_function("fold", |bencher| {
        bencher.iter_batched(
            State::default,
            |mut state| {
                state.apply_all(&world.records);
                state
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
    println!("memory of what waits: {} bytes a workflow", bytes_each());
}

/// Resident bytes that each waiting workflow adds to a state: of this process, by what a hundred thousand add.
fn bytes_each() -> u64 {
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
    };
    let records = {
        let mut world = World::with_rules(1);
        world.submit(1, 100_000, 50);
        world.records
    };
    let before = resident();
    // The records' specifications are shared with the state: they are counted by copies.
    let states: Vec<State> = (0..4)
        .map(|_| {
            let mut state = State::default();
            state.apply_all(&records);
            State::from_snapshot(&state.to_snapshot()).expect("it is its own snapshot")
        })
        .collect();
    let after = resident();
    after.saturating_sub(before) / u64::try_from(states.len()).unwrap_or(1) / 100_000
}

criterion_group!(benches, fold, snapshot);
criterion_main!(benches);
