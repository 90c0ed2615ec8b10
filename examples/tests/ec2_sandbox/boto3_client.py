"""The sandbox as boto3 sees it: a client that nobody here wrote. Usage: boto3_client.py URL"""

import sys
import time
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

URL = sys.argv[1]
KEYS = {"aws_access_key_id": "AKIASANDBOX", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
ONCE = Config(retries={"total_max_attempts": 1})


def client(name, **more):
    return boto3.client(name, endpoint_url=URL, config=ONCE, **{**KEYS, **more})


ec2, s3, sts = client("ec2"), client("s3"), client("sts")


def refused(code, status, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except ClientError as error:
        answer = error.response
        got = (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"])
        assert got == (code, status), f"expected {code} {status}, got {got}: {answer['Error']['Message']}"
        return answer["Error"]["Message"]
    raise AssertionError(f"{code} was expected, and the call went through")


def newest(pattern, **more):
    images = ec2.describe_images(Owners=["amazon"], Filters=[{"Name": "name", "Values": [pattern]}], **more)["Images"]
    assert images, pattern
    return max(images, key=lambda image: image["CreationDate"])


X86 = newest("al2023-ami-2023.*-kernel-*-x86_64")["ImageId"]


def run(**more):
    request = {"ImageId": X86, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1, "ClientToken": uuid.uuid4().hex}
    time.sleep(0.5)  # the bucket of launches refills by two a second
    return ec2.run_instances(**{**request, **more})


def described(**more):
    pages = ec2.get_paginator("describe_instances").paginate(**more)
    return [i for page in pages for r in page["Reservations"] for i in r["Instances"]]


def until(what, ready):
    for _ in range(400):
        if ready():
            return
        time.sleep(0.05)
    raise AssertionError(f"it never came: {what}")


def identity():
    assert sts.get_caller_identity()["Account"] == "000000000000"
    other = client("sts", aws_access_key_id="AKIA111122223333")
    assert other.get_caller_identity()["Account"] == "111122223333"
    refused("InvalidAction", 400, sts.get_session_token)


def images():
    arm = newest("al2023-ami-2023.*-kernel-*-arm64")
    assert arm["Architecture"] == "arm64" and arm["RootDeviceName"] == "/dev/xvda"
    assert arm["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] is True
    tags = {tag["Key"]: tag["Value"] for tag in arm["Tags"]}
    assert int(tags["dstack:ssh-port"]) > 0 and tags["dstack:ssh-user"]
    newest("Deep Learning Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023)*")
    refused("InvalidAMIID.NotFound", 400, ec2.describe_images, ImageIds=["ami-0123456789abcdef0"])
    refused("InvalidAMIID.Malformed", 400, ec2.describe_images, ImageIds=["image"])


def types():
    pages = list(ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 100}))
    rows = {row["InstanceType"]: row for page in pages for row in page["InstanceTypes"]}
    assert len(pages) > 10 and len(rows) == 1375, (len(pages), len(rows))
    assert rows["g5.12xlarge"]["GpuInfo"]["Gpus"][0]["Count"] == 4
    assert rows["m7g.large"]["ProcessorInfo"]["SupportedArchitectures"] == ["arm64"]
    arm = ec2.describe_instance_types(Filters=[{"Name": "processor-info.supported-architecture", "Values": ["arm64"]}])
    assert all("arm64" in row["ProcessorInfo"]["SupportedArchitectures"] for row in arm["InstanceTypes"])
    refused("InvalidInstanceType", 400, ec2.describe_instance_types, InstanceTypes=["m5.enormous"])
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(LocationType="availability-zone")
    places = {(o["InstanceType"], o["Location"]) for page in pages for o in page["InstanceTypeOfferings"]}
    assert ("m5.large", "us-east-1a") in places and ("c7i.xlarge", "us-east-1e") not in places
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert len(zones) == 6 and zones[0]["ZoneId"]
    assert {r["RegionName"] for r in ec2.describe_regions()["Regions"]} == {"us-east-1", "us-west-2", "eu-west-1"}
    prices = ec2.describe_spot_price_history(InstanceTypes=["m5.large"], ProductDescriptions=["Linux/UNIX"])
    assert all(0 < float(p["SpotPrice"]) < 0.096 for p in prices["SpotPriceHistory"]) and prices["SpotPriceHistory"]
    names = {a["AttributeName"] for a in ec2.describe_account_attributes()["AccountAttributes"]}
    assert "default-vpc" in names


def launches():
    spec = [{"ResourceType": kind, "Tags": [{"Key": "dstack:log", "Value": "one"}]} for kind in ("instance", "volume")]
    token = uuid.uuid4().hex
    request = {"ClientToken": token, "TagSpecifications": spec, "InstanceInitiatedShutdownBehavior": "terminate"}
    first = run(**request)
    machine = first["Instances"][0]
    assert machine["State"]["Name"] == "pending" and "PublicIpAddress" not in machine
    assert machine["ClientToken"] == token and machine["MetadataOptions"]["HttpTokens"] == "required"
    again = run(**request)
    assert again["ReservationId"] == first["ReservationId"]
    assert again["Instances"][0]["InstanceId"] == machine["InstanceId"]
    refused("IdempotentParameterMismatch", 400, run, **{**request, "InstanceType": "m5.xlarge"})
    refused("IdempotentParameterMismatch", 400, run, ClientToken=token)
    zonal = run(**request, Placement={"AvailabilityZone": "us-east-1b"})["Instances"][0]
    assert zonal["InstanceId"] != machine["InstanceId"] and zonal["Placement"]["AvailabilityZone"] == "us-east-1b"

    ids = [machine["InstanceId"], zonal["InstanceId"]]
    until("both run", lambda: len(described(InstanceIds=ids, Filters=[{"Name": "instance-state-name", "Values": ["running"]}])) == 2)
    seen = described(Filters=[{"Name": "client-token", "Values": [token]}, {"Name": "tag:dstack:log", "Values": ["one"]}])
    assert {i["InstanceId"] for i in seen} == set(ids) and all(i["PublicIpAddress"].startswith("127.") for i in seen)
    assert seen[0]["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] is True
    status = ec2.describe_instance_status(InstanceIds=ids)["InstanceStatuses"]
    assert {s["InstanceStatus"]["Status"] for s in status} == {"ok"}

    refused("InvalidInstanceID.NotFound", 400, ec2.terminate_instances, InstanceIds=[ids[0], "i-0123456789abcdef0"])
    refused("InvalidInstanceID.Malformed", 400, ec2.terminate_instances, InstanceIds=[ids[0], "foobar"])
    refused("DryRunOperation", 412, ec2.terminate_instances, InstanceIds=ids, DryRun=True)
    assert all(i["State"]["Name"] == "running" for i in described(InstanceIds=ids))
    ended = ec2.terminate_instances(InstanceIds=ids)["TerminatingInstances"]
    assert [(e["PreviousState"]["Name"], e["CurrentState"]["Name"]) for e in ended] == [("running", "shutting-down")] * 2
    until("both end", lambda: all(i["State"]["Name"] == "terminated" for i in described(InstanceIds=ids)))
    ended = ec2.terminate_instances(InstanceIds=ids)["TerminatingInstances"]
    assert all(e["CurrentState"]["Name"] == e["PreviousState"]["Name"] == "terminated" for e in ended)
    over = described(InstanceIds=ids)[0]
    assert over["StateReason"]["Code"] == "Client.UserInitiatedShutdown" and "SubnetId" not in over
    refused("IdempotentInstanceTerminated", 400, run, **request)


def many():
    reservation = run(MinCount=1, MaxCount=8)
    ids = sorted(i["InstanceId"] for i in reservation["Instances"])
    assert len(ids) == 8 and len({i["AmiLaunchIndex"] for i in reservation["Instances"]}) == 8
    mine = [{"Name": "reservation-id", "Values": [reservation["ReservationId"]]}]
    pages = list(ec2.get_paginator("describe_instances").paginate(Filters=mine, PaginationConfig={"PageSize": 5}))
    counts = [sum(len(r["Instances"]) for r in page["Reservations"]) for page in pages]
    assert counts == [5, 3], counts
    assert sorted(i["InstanceId"] for p in pages for r in p["Reservations"] for i in r["Instances"]) == ids
    refused("InvalidParameterCombination", 400, ec2.describe_instances, InstanceIds=ids, MaxResults=5)
    refused("InvalidNextToken", 400, ec2.describe_instances, MaxResults=5, NextToken="x")
    ec2.terminate_instances(InstanceIds=ids)


def refusals():
    refused("DryRunOperation", 412, run, DryRun=True)
    refused("InvalidAMIID.NotFound", 400, run, ImageId="ami-0123456789abcdef0")
    refused("InvalidParameterValue", 400, run, InstanceType="m5.enormous")
    refused("InvalidParameterValue", 400, run, InstanceType="m7g.large")
    refused("Unsupported", 400, run, InstanceType="c7i.xlarge", Placement={"AvailabilityZone": "us-east-1e"})
    refused("InvalidGroup.NotFound", 400, run, SecurityGroupIds=["sg-0123456789abcdef0"])
    refused("InvalidSubnetID.NotFound", 400, run, SubnetId="subnet-0123456789abcdef0")
    refused("InvalidKeyPair.NotFound", 400, run, KeyName="nobody")
    refused("InvalidParameterValue", 400, run, MinCount=3, MaxCount=2)
    refused("InvalidUserData.Malformed", 400, run, UserData="x" * 16385)
    refused("InvalidUserData.Malformed", 400, run, UserData="#!/bin/sh\n/sbin/poweroff\n")
    refused("SpotMaxPriceTooLow", 400, run, InstanceMarketOptions={"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.001"}})
    refused("InvalidClientToken", 400, run, ClientToken="t" * 65)
    refused("InvalidParameterValue", 400, ec2.describe_instances, Filters=[{"Name": "colour", "Values": ["red"]}])
    refused("InvalidAction", 400, ec2.describe_volumes)
    protected = run(DisableApiTermination=True)["Instances"][0]["InstanceId"]
    refused("OperationNotPermitted", 400, ec2.terminate_instances, InstanceIds=[protected])


def spot():
    machine = run(InstanceMarketOptions={"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}})["Instances"][0]
    assert machine["InstanceLifecycle"] == "spot"
    request = machine["SpotInstanceRequestId"]
    until("it runs", lambda: described(InstanceIds=[machine["InstanceId"]])[0]["State"]["Name"] == "running")
    seen = ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[request])["SpotInstanceRequests"][0]
    assert (seen["State"], seen["Status"]["Code"], seen["InstanceId"]) == ("active", "fulfilled", machine["InstanceId"])
    ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[request])
    seen = ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[request])["SpotInstanceRequests"][0]
    assert seen["State"] == "cancelled"
    assert described(InstanceIds=[machine["InstanceId"]])[0]["State"]["Name"] == "running"
    found = described(Filters=[{"Name": "instance-lifecycle", "Values": ["spot"]}])
    assert machine["InstanceId"] in {i["InstanceId"] for i in found}
    ec2.terminate_instances(InstanceIds=[machine["InstanceId"]])
    refused("InvalidSpotInstanceRequestID.NotFound", 400, ec2.describe_spot_instance_requests, SpotInstanceRequestIds=["sir-00000000"])


def groups():
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    assert len(subnets) == 6 and all(s["DefaultForAz"] for s in subnets)
    name = f"dstack-{uuid.uuid4().hex}"
    spec = [{"ResourceType": "security-group", "Tags": [{"Key": "dstack:log", "Value": "one"}]}]
    group = ec2.create_security_group(GroupName=name, Description="a test's", VpcId=vpc, TagSpecifications=spec)["GroupId"]
    refused("InvalidGroup.Duplicate", 400, ec2.create_security_group, GroupName=name, Description="again", VpcId=vpc)
    ssh = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "127.0.0.1/32"}]}]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=ssh)
    refused("InvalidPermission.Duplicate", 400, ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=ssh)
    mine = ec2.describe_security_groups(Filters=[{"Name": "tag:dstack:log", "Values": ["one"]}, {"Name": "group-name", "Values": [name]}])
    assert mine["SecurityGroups"][0]["IpPermissions"][0]["IpRanges"] == [{"CidrIp": "127.0.0.1/32"}]
    machine = run(SecurityGroupIds=[group], SubnetId=subnets[0]["SubnetId"])["Instances"][0]
    assert machine["SecurityGroups"] == [{"GroupId": group, "GroupName": name}]
    assert machine["Placement"]["AvailabilityZone"] == subnets[0]["AvailabilityZone"]
    refused("DependencyViolation", 400, ec2.delete_security_group, GroupId=group)
    ec2.terminate_instances(InstanceIds=[machine["InstanceId"]])
    until("it ends", lambda: described(InstanceIds=[machine["InstanceId"]])[0]["State"]["Name"] == "terminated")
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=ssh)
    ec2.delete_security_group(GroupId=group)
    refused("InvalidGroup.NotFound", 400, ec2.describe_security_groups, GroupIds=[group])


def tags():
    machine = run()["Instances"][0]["InstanceId"]
    ec2.create_tags(Resources=[machine], Tags=[{"Key": "a & b", "Value": "<c>"}, {"Key": "d", "Value": ""}])
    found = described(Filters=[{"Name": "tag:a & b", "Values": ["<c>"]}, {"Name": "tag-key", "Values": ["d"]}])
    assert [i["InstanceId"] for i in found] == [machine]
    assert {"Key": "a & b", "Value": "<c>"} in found[0]["Tags"]
    rows = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [machine]}])["Tags"]
    assert {row["Key"] for row in rows} == {"a & b", "d"} and rows[0]["ResourceType"] == "instance"
    refused("InvalidInstanceID.NotFound", 400, ec2.create_tags, Resources=["i-0123456789abcdef0"], Tags=[{"Key": "a", "Value": "b"}])
    ec2.terminate_instances(InstanceIds=[machine])


def objects():
    s3.create_bucket(Bucket="kept")
    refused("NoSuchKey", 404, s3.get_object, Bucket="kept", Key="a/b c+d")
    refused("NoSuchBucket", 404, s3.put_object, Bucket="nowhere", Key="k", Body=b"x")
    put = s3.put_object(Bucket="kept", Key="a/b c+d", Body=b"0123456789", Metadata={"why": "test"})
    got = s3.get_object(Bucket="kept", Key="a/b c+d")
    assert got["Body"].read() == b"0123456789" and got["ETag"] == put["ETag"] and got["Metadata"] == {"why": "test"}
    part = s3.get_object(Bucket="kept", Key="a/b c+d", Range="bytes=2-4")
    assert part["Body"].read() == b"234" and part["ContentRange"] == "bytes 2-4/10"
    assert s3.head_object(Bucket="kept", Key="a/b c+d")["ContentLength"] == 10
    refused("PreconditionFailed", 412, s3.put_object, Bucket="kept", Key="a/b c+d", Body=b"y", IfNoneMatch="*")
    for number in range(7):
        s3.put_object(Bucket="kept", Key=f"n/{number}/x", Body=b"")
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket="kept", Prefix="n/", PaginationConfig={"PageSize": 3}))
    assert [o["Key"] for p in pages for o in p["Contents"]] == [f"n/{n}/x" for n in range(7)] and len(pages) == 3
    tops = s3.list_objects_v2(Bucket="kept", Delimiter="/")
    assert [p["Prefix"] for p in tops["CommonPrefixes"]] == ["a/", "n/"] and "Contents" not in tops
    upload = s3.create_multipart_upload(Bucket="kept", Key="large")["UploadId"]
    pieces = [b"a" * (5 << 20), b"b"]
    parts = []
    for number, piece in enumerate(pieces, 1):
        tag = s3.upload_part(Bucket="kept", Key="large", UploadId=upload, PartNumber=number, Body=piece)["ETag"]
        parts.append({"PartNumber": number, "ETag": tag})
    s3.complete_multipart_upload(Bucket="kept", Key="large", UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket="kept", Key="large")["Body"].read() == b"".join(pieces)
    s3.copy_object(Bucket="kept", Key="copy", CopySource={"Bucket": "kept", "Key": "a/b c+d"})
    assert s3.get_object(Bucket="kept", Key="copy")["Body"].read() == b"0123456789"
    s3.delete_objects(Bucket="kept", Delete={"Objects": [{"Key": "large"}, {"Key": "copy"}]})
    s3.delete_object(Bucket="kept", Key="a/b c+d")
    refused("404", 404, s3.head_object, Bucket="kept", Key="large")
    assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == ["kept"]


for test in (identity, images, types, launches, many, refusals, spot, groups, tags, objects):
    test()
    print(f"ok {test.__name__}", flush=True)
