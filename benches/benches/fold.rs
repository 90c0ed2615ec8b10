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

criterion_group!(benches, fold);
criterion_main!(benches);
