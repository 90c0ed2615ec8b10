//! What a region sells, what it costs, and which image it gets.

use dstack_aws::{list_price, near_matches};
use dstack_core::cloud::{CloudError, CloudProvider};
use dstack_core::model::{Bytes, Gpus, MicroUsd, MilliCpu, Offering, Purchase};
use proptest::prelude::*;

use crate::laws::Account;
use crate::wire::{Bench, REGION, error, image, reply, run};

fn catalogue(bench: &Bench) -> Result<Vec<Offering>, CloudError> {
    bench.run(bench.ec2.catalogue(REGION))
}

pub(crate) fn info(name: &str, arch: &str, usages: &[&str], more: &str) -> String {
    let usages: String = usages.iter().map(|usage| format!("<item>{usage}</item>")).collect();
    format!(
        "<item><instanceType>{name}</instanceType><supportedUsageClasses>{usages}</supportedUsageClasses>\
         <processorInfo><supportedArchitectures><item>{arch}</item></supportedArchitectures></processorInfo>\
         <vCpuInfo><defaultVCpus>4</defaultVCpus></vCpuInfo><memoryInfo><sizeInMiB>16384</sizeInMiB></memoryInfo>{more}</item>"
    )
}

fn gpu(name: &str, maker: &str, count: u32) -> String {
    format!(
        "<gpuInfo><gpus><item><name>{name}</name><manufacturer>{maker}</manufacturer><count>{count}</count><memoryInfo><sizeInMiB>16384</sizeInMiB></memoryInfo></item></gpus></gpuInfo>"
    )
}

pub(crate) fn types(infos: &[String]) -> String {
    reply("DescribeInstanceTypes", &format!("<instanceTypeSet>{}</instanceTypeSet>", infos.concat()))
}

pub(crate) fn zones(rows: &[(&str, &str)]) -> String {
    let row = |(name, zone): &(&str, &str)| {
        format!(
            "<item><instanceType>{name}</instanceType><locationType>availability-zone</locationType><location>{zone}</location></item>"
        )
    };
    reply(
        "DescribeInstanceTypeOfferings",
        &format!("<instanceTypeOfferingSet>{}</instanceTypeOfferingSet>", rows.iter().map(row).collect::<String>()),
    )
}

fn prices(rows: &[(&str, &str, &str)]) -> String {
    let row = |(name, zone, price): &(&str, &str, &str)| {
        format!(
            "<item><instanceType>{name}</instanceType><productDescription>Linux/UNIX</productDescription><spotPrice>{price}</spotPrice><timestamp>2026-08-01T09:58:11.000Z</timestamp><availabilityZone>{zone}</availabilityZone></item>"
        )
    };
    reply(
        "DescribeSpotPriceHistory",
        &format!("<spotPriceHistorySet>{}</spotPriceHistorySet>", rows.iter().map(row).collect::<String>()),
    )
}

fn images(rows: &[String]) -> String {
    reply("DescribeImages", &format!("<imagesSet>{}</imagesSet>", rows.concat()))
}

/// The images of the four families, in the order in which they are asked for.
pub(crate) fn answer_images(bench: &Bench) {
    let newest = images(&[
        image("ami-old", "a", "2025-01-01"),
        image("ami-x86", "b", "2025-03-01"),
        image("ami-mid", "c", "2025-02-01"),
    ]);
    bench.wire.answer("DescribeImages", 200, newest);
    for id in ["ami-arm", "ami-x86-gpu", "ami-arm-gpu"] {
        bench.wire.answer("DescribeImages", 200, images(&[image(id, "x", "2025-01-01")]));
    }
}

#[test]
fn a_catalogue_has_a_row_for_each_type_and_purchase_with_zones_price_and_image() {
    let bench = Bench::new();
    let both = ["on-demand", "spot"];
    bench.wire.answer(
        "DescribeInstanceTypes",
        200,
        types(&[
            info("m5.xlarge", "x86_64", &both, ""),
            info("g4dn.xlarge", "x86_64", &both, &gpu("T4", "NVIDIA", 1)),
            info("g5g.xlarge", "arm64", &["on-demand"], &gpu("T4G", "NVIDIA", 1)),
            info("g4ad.xlarge", "x86_64", &["on-demand"], &gpu("Radeon Pro V520", "AMD", 1)),
            info("gr6f.4xlarge", "x86_64", &["on-demand"], &gpu("L4", "NVIDIA", 0)),
            info("mac2.metal", "arm64", &["on-demand"], ""),
            info("t1.micro", "i386", &both, ""),
            info("nowhere.large", "x86_64", &both, ""),
            info("p5.48xlarge", "x86_64", &["capacity-block"], &gpu("H100", "NVIDIA", 8)),
        ]),
    );
    bench.wire.answer(
        "DescribeInstanceTypeOfferings",
        200,
        zones(&[
            ("m5.xlarge", "us-east-1b"),
            ("m5.xlarge", "us-east-1a"),
            ("m5.xlarge", "us-east-1-bos-1a"),
            ("g4dn.xlarge", "us-east-1a"),
            ("g5g.xlarge", "us-east-1a"),
            ("g4ad.xlarge", "us-east-1a"),
            ("gr6f.4xlarge", "us-east-1a"),
            ("mac2.metal", "us-east-1a"),
            ("t1.micro", "us-east-1a"),
            ("p5.48xlarge", "us-east-1a"),
        ]),
    );
    bench.wire.answer(
        "DescribeSpotPriceHistory",
        200,
        prices(&[("m5.xlarge", "us-east-1a", "0.090000"), ("m5.xlarge", "us-east-1b", "0.0712001")]),
    );
    answer_images(&bench);
    let offerings = catalogue(&bench).expect("it is complete");
    let rows: Vec<(&str, Purchase)> = offerings.iter().map(|row| (row.instance_type.as_str(), row.purchase)).collect();
    assert_eq!(
        rows,
        [
            ("g4ad.xlarge", Purchase::OnDemand),
            ("g4dn.xlarge", Purchase::OnDemand),
            ("g4dn.xlarge", Purchase::Spot),
            ("g5g.xlarge", Purchase::OnDemand),
            ("gr6f.4xlarge", Purchase::OnDemand),
            ("m5.xlarge", Purchase::OnDemand),
            ("m5.xlarge", Purchase::Spot),
        ]
    );
    let images: Vec<&str> = offerings.iter().map(|row| row.image.as_str()).collect();
    assert_eq!(images, ["ami-x86", "ami-x86-gpu", "ami-x86-gpu", "ami-arm-gpu", "ami-x86-gpu", "ami-x86", "ami-x86"]);
    let (on_demand, spot) = (&offerings[5], &offerings[6]);
    assert_eq!((on_demand.cpu, on_demand.memory), (MilliCpu(4_000), Bytes::from_gib(16)));
    assert_eq!(
        (on_demand.zones.join(" ").as_str(), on_demand.price),
        ("us-east-1a us-east-1b", Some(MicroUsd(192_000)))
    );
    assert_eq!(
        (spot.zones.join(" ").as_str(), spot.price),
        ("us-east-1b us-east-1a", Some(MicroUsd(71_201))),
        "the cheapest first"
    );
    assert_eq!(
        offerings[4].gpus,
        Some(Gpus { name: "L4".into(), count: 1, memory: Bytes::from_gib(16) }),
        "a part of one"
    );
    assert_eq!(on_demand.details["ssh"], "ec2-user:22");
}

#[test]
fn e24_a_price_is_of_an_hour_in_whole_numbers_and_unknown_is_not_nothing() {
    assert_eq!(list_price("us-east-1", "m5.xlarge"), Some(MicroUsd(192_000)));
    assert_eq!((list_price("us-east-1", "m99.large"), list_price("mars-1", "m5.xlarge")), (None, None));
    let bench = Bench::new();
    bench.wire.always("DescribeSpotPriceHistory", 403, error("UnauthorizedOperation", "no"));
    let offerings = catalogue(&bench).expect("prices are for comparing");
    let spot: Vec<_> = offerings.iter().filter(|row| row.purchase == Purchase::Spot).collect();
    assert!(!spot.is_empty(), "spot is sold all the same");
    for row in spot {
        assert_eq!(row.price, list_price(REGION, &row.instance_type), "it is no dearer than on demand");
    }
}

#[test]
fn a_catalogue_is_remembered_with_its_age_and_shared_by_processes() {
    let bench = Bench::new();
    assert_eq!(bench.run(bench.ec2.catalogue_age(REGION)), Ok(None));
    let first = catalogue(&bench).expect("it is complete");
    let asked = bench.wire.actions().len();
    bench.clock.advance(std::time::Duration::from_secs(300));
    assert_eq!(catalogue(&bench).expect("it is remembered"), first);
    assert_eq!(bench.wire.actions().len(), asked);
    assert_eq!(bench.run(bench.ec2.catalogue_age(REGION)), Ok(Some(std::time::Duration::from_secs(300))));
    bench.clock.advance(std::time::Duration::from_secs(600));
    catalogue(&bench).expect("it is remembered");
    assert_eq!(bench.wire.actions()[asked..], ["DescribeSpotPriceHistory"], "spot prices are older than types may be");
    bench.clock.advance(std::time::Duration::from_secs(24 * 3_600));
    catalogue(&bench).expect("it is complete");
    assert_eq!(bench.wire.sent("DescribeInstanceTypes").len(), 2);
    bench.ec2.forget_catalogue();
    assert_eq!(bench.run(bench.ec2.catalogue_age(REGION)), Ok(None));
    std::fs::write(bench.folder.path().join("cache/aws-111122223333-us-east-1.json"), b"{\"form\":").expect("written");
    catalogue(&bench).expect("a damaged file is as none");
}

#[test]
fn a_catalogue_of_which_a_page_is_missing_is_an_error() {
    let bench = Bench::with_system_clock();
    bench.wire.file("DescribeInstanceTypeOfferings", 200, "instance_type_offerings.xml");
    bench.wire.always("DescribeInstanceTypeOfferings", 500, error("InternalError", ""));
    assert!(matches!(catalogue(&bench), Err(CloudError::Unknown(_))));
    assert_eq!(bench.wire.sent("DescribeInstanceTypeOfferings").len(), 4, "it is tried three times, and no more");
}

#[test]
fn another_image_than_the_offering_s_is_looked_up_and_its_disks_go_too() {
    let bench = Bench::new();
    let mut request = crate::wire::request(1, Purchase::OnDemand);
    request.details = catalogue(&bench).expect("it is complete")[0].details.clone();
    bench.run(bench.ec2.launch(&request)).expect("it is launched");
    assert_eq!(bench.wire.sent("DescribeImages").len(), 4, "what is frozen is not asked for again");
    request.image = "ami-own".into();
    let own = image("ami-own", "ubuntu-mine", "2025-01-01").replace("/dev/xvda", "/dev/sda1");
    bench.wire.answer("DescribeImages", 200, images(&[own]));
    bench.run(bench.ec2.launch(&request)).expect("it is launched");
    let sent = &bench.wire.sent("RunInstances")[1];
    assert_eq!((sent["ImageId"].as_str(), sent["BlockDeviceMapping.1.DeviceName"].as_str()), ("ami-own", "/dev/sda1"));
    let tags: Vec<&String> = sent.iter().filter(|(name, _)| name.ends_with(".Value")).map(|(_, value)| value).collect();
    assert!(tags.iter().any(|value| *value == "ubuntu:22"), "{tags:?}");
}

#[test]
fn the_sandbox_sells_what_ec2_sells() {
    let account = Account::new();
    let ec2 = account.ec2();
    run(async {
        let offerings = ec2.catalogue(REGION).await.expect("it is complete");
        assert!(offerings.len() > 2_500, "{} are sold", offerings.len());
        assert!(offerings.iter().all(|row| !row.image.is_empty() && !row.instance_type.starts_with("mac")));
        assert_eq!(ec2.near_matches(REGION, "m5.xlrge").await.expect("known")[0], "m5.xlarge");
        let calls = account.sandbox.state().calls;
        assert!(calls.values().sum::<u64>() < 40, "{calls:?}");
    });
}

#[test]
fn near_matches_are_near_and_few() {
    let bench = Bench::new();
    let offerings = catalogue(&bench).expect("it is complete");
    assert_eq!(near_matches(&offerings, "G5.12XLARGE"), ["g5.12xlarge"]);
    assert_eq!(near_matches(&offerings, "quantum.huge"), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_price_is_never_read_as_less_than_it_is(whole in 0_u64..1_000, part in 0_u64..10_000_000_000) {
        let bench = Bench::new();
        let text = format!("{whole}.{part:010}");
        bench.wire.answer("DescribeInstanceTypes", 200, types(&[info("m5.xlarge", "x86_64", &["spot"], "")]));
        bench.wire.answer("DescribeInstanceTypeOfferings", 200, zones(&[("m5.xlarge", "us-east-1a")]));
        bench.wire.answer("DescribeSpotPriceHistory", 200, prices(&[("m5.xlarge", "us-east-1a", &text)]));
        let price = catalogue(&bench).expect("it is complete")[0].price.expect("it is known").0;
        let exact = u128::from(whole) * 10_000_000_000 + u128::from(part);
        prop_assert!(u128::from(price) * 10_000 >= exact && u128::from(price) * 10_000 < exact + 10_000);
    }
}
