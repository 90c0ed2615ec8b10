//! DescribeImages.

use super::super::filter::{Filters, Page, PageSize};
use super::super::ids::{is_id, made_id};
use super::super::images::{Image, images};
use super::super::reply::{Failure, NoAnswer};
use super::super::tags::{Tags, tag_values, write_tags};
use super::super::xml::Xml;
use super::Call;

const PAGE: PageSize = PageSize { least: 1, most: 1_000 };

const FILTERS: [&str; 16] = [
    "image-id",
    "name",
    "architecture",
    "owner-id",
    "owner-alias",
    "state",
    "is-public",
    "image-type",
    "root-device-type",
    "root-device-name",
    "virtualization-type",
    "creation-date",
    "hypervisor",
    "tag:",
    "tag-key",
    "description",
];

pub(super) fn describe_images(call: &mut Call<'_>) -> Result<String, NoAnswer> {
    let filters = Filters::parse(call.query, &FILTERS)?;
    let all = images(call.region);
    let ids = call.query.list("ImageId");
    for id in &ids {
        if !is_id("ami", id) {
            return Err(Failure::client("InvalidAMIID.Malformed", format!("Invalid id: \"{id}\"")).into());
        }
        if !all.iter().any(|image| image.id == *id) {
            let words = format!("The image id '[{id}]' does not exist");
            return Err(Failure::client("InvalidAMIID.NotFound", words).into());
        }
    }
    call.dry_run()?;
    let owners = call.query.list("Owner");
    let is_owned = |image: &Image| {
        owners.is_empty() || owners.iter().any(|owner| *owner == image.owner || *owner == image.owner_alias)
    };
    let tags = tags(call.ssh);
    let fits = |image: &Image| {
        (ids.is_empty() || ids.contains(&image.id.as_str()))
            && is_owned(image)
            && filters.fit(|name| tag_values(&tags, name).unwrap_or_else(|| values(image, name)))
    };
    let page = Page::cut(call.query, all.into_iter().filter(fits).collect(), PAGE, |image| image.id.clone())?;
    Ok(call.document("DescribeImages", |xml| {
        xml.items("imagesSet", &page.rows, |xml, image| write_image(xml, image, &tags));
        xml.leaf_if("nextToken", page.next.as_deref());
    }))
}

/// How instances of any image are reached here.
fn tags((user, port): (&str, u16)) -> Tags {
    Tags::from([("dstack:ssh-user".into(), user.into()), ("dstack:ssh-port".into(), port.to_string())])
}

fn values(image: &Image, name: &str) -> Vec<String> {
    let value = match name {
        "image-id" => image.id.as_str(),
        "name" => image.name,
        "architecture" => image.arch,
        "owner-id" => image.owner,
        "owner-alias" => image.owner_alias,
        "state" => "available",
        "is-public" => "true",
        "image-type" => "machine",
        "root-device-type" => "ebs",
        "root-device-name" => image.root_device,
        "virtualization-type" => "hvm",
        "creation-date" => image.created,
        "hypervisor" => "xen",
        "description" => image.description,
        _ => return Vec::new(),
    };
    vec![value.to_owned()]
}

fn write_image(xml: &mut Xml, image: &Image, tags: &Tags) {
    xml.leaf("imageId", &image.id);
    xml.leaf("imageLocation", format!("amazon/{}", image.name));
    xml.leaf("imageState", "available");
    xml.leaf("imageOwnerId", image.owner);
    xml.leaf("creationDate", image.created);
    xml.leaf("isPublic", "true");
    xml.leaf("architecture", image.arch);
    xml.leaf("imageType", "machine");
    xml.leaf_if("imageOwnerAlias", Some(image.owner_alias).filter(|alias| !alias.is_empty()));
    xml.leaf("name", image.name);
    xml.leaf("description", image.description);
    xml.leaf("rootDeviceType", "ebs");
    xml.leaf("rootDeviceName", image.root_device);
    xml.items("blockDeviceMapping", [()], |xml, ()| {
        xml.leaf("deviceName", image.root_device);
        xml.group("ebs", |xml| {
            xml.leaf("snapshotId", made_id("snap", &[&image.id]));
            xml.leaf("volumeSize", image.root_gib.to_string());
            xml.leaf("deleteOnTermination", "true");
            xml.leaf("volumeType", "gp3");
            xml.leaf("encrypted", "false");
        });
    });
    xml.leaf("virtualizationType", "hvm");
    write_tags(xml, tags);
    xml.leaf("hypervisor", "xen");
    xml.leaf("enaSupport", "true");
    xml.leaf("bootMode", if image.arch == "arm64" { "uefi" } else { "uefi-preferred" });
    xml.leaf("imdsSupport", "v2.0");
}
