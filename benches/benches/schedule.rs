//! What a step costs: with nothing possible, which must not grow with what waits, and with decisions.

use std::hint::black_box;

use benches::world::World;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dstack_core::model::{ControllerId, schedule};

fn full(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tick_full");
    group.sample_size(20);
    for (waiting, runners) in [(1_000, 1_000), (100_000, 100), (100_000, 1_000), (1_000_000, 1_000)] {
        let mut world = World::with_rules(runners / 20);
        world.runners(u64::from(runners));
        world.fill(2);
        world.submit(1, waiting, 50);
        let tick = world.tick();
        assert!(schedule(&world.state, &tick).is_empty(), "nothing is possible");
        group.bench_function(BenchmarkId::new(format!("{runners}_runners"), waiting), |bencher| {
            bencher.iter(|| black_box(schedule(&world.state, &tick)));
        });
    }
    group.finish();
}

/// A thousand shapes, two hundred rules, ten thousand runners.
fn large(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tick_large");
    group.sample_size(10);
    let mut world = World::with_many_rules(200, 50);
    world.runners(10_000);
    world.submit(1, 100_000, 1_000);
    let tick = world.tick();
    let plan = schedule(&world.state, &tick);
    group.throughput(Throughput::Elements(plan.items.len() as u64));
    group.bench_function("assign", |bencher| bencher.iter(|| black_box(schedule(&world.state, &tick))));
    let mut world = World::with_many_rules(200, 50);
    world.runners(10_000);
    world.fill(2);
    world.submit(1, 100_000, 1_000);
    assert!(schedule(&world.state, &tick).is_empty(), "nothing is possible");
    group.throughput(Throughput::Elements(1));
    group.bench_function("full", |bencher| bencher.iter(|| black_box(schedule(&world.state, &tick))));
    let mut world = World::with_many_rules(200, 50);
    world.runners(10_000);
    world.submit(1, 100_000, 1_000);
    world.fill(2);
    let plan = schedule(&world.state, &tick);
    assert!(plan.is_empty() && plan.kept.len() >= 900, "what came later overtook almost all: {}", plan.kept.len());
    group.bench_function("kept", |bencher| bencher.iter(|| black_box(schedule(&world.state, &tick))));
    group.finish();
}

fn assign(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tick_assign");
    group.sample_size(10);
    // Far more wait than find a place: a decision costs the same, however many they are.
    for waiting in [20_000, 1_000_000] {
        let mut world = World::with_rules(50);
        world.runners(1_000);
        world.submit(1, waiting, 50);
        let tick = world.tick();
        let plan = schedule(&world.state, &tick);
        group.throughput(Throughput::Elements(plan.items.len() as u64));
        group.bench_function(BenchmarkId::new("plan", waiting), |bencher| {
            bencher.iter(|| black_box(schedule(&world.state, &tick)));
        });
    }
    let mut world = World::with_rules(50);
    world.runners(1_000);
    world.submit(1, 100_000, 50);
    let tick = world.tick();
    let plan = schedule(&world.state, &tick);
    group.throughput(Throughput::Elements(plan.items.len() as u64));
    group.bench_function("plan_encode_hash_fold", |bencher| {
        bencher.iter_batched(
            || world.clone(),
            |mut world| {
                let plan = schedule(&world.state, &tick);
                let mut number = 0_u128;
                let mut mint = || {
                    number += 1 << 64;
                    number.to_be_bytes()
                };
                let events = plan.into_events(&world.state, ControllerId::from_bytes([1; 16]), &mut mint);
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

criterion_group!(benches, full, assign, large);
criterion_main!(benches);
