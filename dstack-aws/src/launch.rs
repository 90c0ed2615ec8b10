//! RunInstances: what is sent, and what the answer says.

use aws_sdk_ec2::operation::run_instances::RunInstancesOutput;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, HttpTokensState, Instance, InstanceInterruptionBehavior, InstanceLifecycleType,
    InstanceMarketOptionsRequest, InstanceMetadataEndpointState, InstanceMetadataOptionsRequest,
    InstanceNetworkInterfaceSpecification, InstanceType, MarketType, ShutdownBehavior, SpotInstanceType,
    SpotMarketOptions, VolumeType,
};
use aws_smithy_types::base64;
use dstack_core::cloud::{LaunchError, Machine, MachineState};
use dstack_core::model::{LaunchRequest, MachineId, Purchase};

use crate::images::{ImageFacts, WORK_GIB};
use crate::look;
use crate::network::Berth;
use crate::session::Session;
use crate::tags::{self, Ssh};

/// Most bytes of user data, before they are encoded.
const USER_DATA_BYTES_MOST: usize = 16_384;

/// How a launch's machine is reached: what the user has set, else what its image says.
pub(crate) fn ssh(request: &LaunchRequest, image: Option<&ImageFacts>) -> Result<Ssh, LaunchError> {
    let text = image.map_or("ec2-user:22", |image| image.ssh.as_str());
    let of_image = Ssh::parse(text);
    let base = of_image.ok_or_else(|| LaunchError::Invalid(format!("{text:?} is no USER:PORT of an SSH server")))?;
    let user = request.options.ssh_user.clone().unwrap_or(base.user);
    let port = request.options.ssh_port.unwrap_or(base.port);
    let text = format!("{user}:{port}");
    Ssh::parse(&text)
        .ok_or_else(|| LaunchError::Invalid(format!("{text:?} is no USER:PORT: see `dstack autoscale set`")))
}

/// Refuses user data that EC2 would refuse.
pub(crate) fn check_user_data(text: &str) -> Result<(), LaunchError> {
    if text.len() > USER_DATA_BYTES_MOST {
        let words = format!("the user data has {} bytes, and EC2 takes {USER_DATA_BYTES_MOST}", text.len());
        return Err(LaunchError::Invalid(words));
    }
    Ok(())
}

/// The request, which is the same each time for the same launch: EC2 compares it by the token.
pub(crate) fn build(
    session: &Session,
    request: &LaunchRequest,
    image: Option<&ImageFacts>,
    ssh: &Ssh,
    berth: &Berth,
    user_data: &str,
) -> RunInstancesFluentBuilder {
    let interface = InstanceNetworkInterfaceSpecification::builder()
        .device_index(0)
        .subnet_id(&berth.subnet)
        .groups(&berth.group)
        .associate_public_ip_address(true)
        .delete_on_termination(true)
        .build();
    let metadata = InstanceMetadataOptionsRequest::builder()
        .http_endpoint(InstanceMetadataEndpointState::Enabled)
        .http_tokens(HttpTokensState::Required)
        .http_put_response_hop_limit(1)
        .build();
    let market = (request.rule.purchase == Purchase::Spot).then(spot);
    session
        .ec2
        .run_instances()
        .client_token(request.token().0)
        .min_count(1)
        .max_count(1)
        .image_id(&request.image)
        .instance_type(InstanceType::from(request.rule.instance_type.as_str()))
        .network_interfaces(interface)
        .metadata_options(metadata)
        .set_instance_market_options(market)
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
        .disable_api_termination(false)
        .set_block_device_mappings(image.map(disks))
        .set_tag_specifications(Some(tags::specifications(request, ssh)))
        .user_data(base64::encode(user_data))
}

/// One machine for as long as it lasts: never one that EC2 starts anew by itself.
fn spot() -> InstanceMarketOptionsRequest {
    let options = SpotMarketOptions::builder()
        .spot_instance_type(SpotInstanceType::OneTime)
        .instance_interruption_behavior(InstanceInterruptionBehavior::Terminate)
        .build();
    InstanceMarketOptionsRequest::builder().market_type(MarketType::Spot).spot_options(options).build()
}

/// Every disk of the image goes with the machine.
fn disks(image: &ImageFacts) -> Vec<BlockDeviceMapping> {
    let root = EbsBlockDevice::builder()
        .volume_size(image.root_gib.saturating_add(WORK_GIB))
        .volume_type(VolumeType::Gp3)
        .delete_on_termination(true)
        .build();
    let mapping = |device: &str, ebs| BlockDeviceMapping::builder().device_name(device).ebs(ebs).build();
    let other = || EbsBlockDevice::builder().delete_on_termination(true).build();
    let others = image.other_devices.iter().map(|device| mapping(device, other()));
    std::iter::once(mapping(&image.root_device, root)).chain(others).collect()
}

/// The machine that an answer names.
pub(crate) fn machine(answer: &RunInstancesOutput) -> Result<Machine, LaunchError> {
    let [instance] = answer.instances() else {
        let count = answer.instances().len();
        return Err(LaunchError::Unknown(format!("the answer names {count} machines")));
    };
    let Some(id) = instance.instance_id().filter(|id| !id.is_empty()) else {
        return Err(LaunchError::Unknown("the answer names a machine without an id".into()));
    };
    // Before 2025 a spent token was answered with the machine that it had made.
    if look::state(instance) == Some(MachineState::Terminated) {
        return Err(LaunchError::Ended);
    }
    Ok(Machine { id: MachineId(id.to_owned()), address: look::address(instance), purchase: purchase(instance) })
}

/// How a machine was really bought.
pub(crate) fn purchase(instance: &Instance) -> Purchase {
    match instance.instance_lifecycle() {
        Some(InstanceLifecycleType::Spot) => Purchase::Spot,
        _ => Purchase::OnDemand,
    }
}
