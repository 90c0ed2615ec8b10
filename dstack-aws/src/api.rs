//! The calls that the provider makes: one list, from which the limits, the policy and the check are made.

use dstack_core::cloud::Rate;

/// A call to AWS that the provider makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "AWS's own names say what they do")]
pub enum Api {
    RunInstances,
    TerminateInstances,
    DescribeInstances,
    DescribeSpotInstanceRequests,
    CancelSpotInstanceRequests,
    DescribeInstanceTypes,
    DescribeInstanceTypeOfferings,
    DescribeSpotPriceHistory,
    DescribeImages,
    DescribeRegions,
    DescribeVpcs,
    DescribeSubnets,
    DescribeSecurityGroups,
    CreateSecurityGroup,
    AuthorizeSecurityGroupIngress,
    RevokeSecurityGroupIngress,
    DeleteSecurityGroup,
    GetCallerIdentity,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::RunInstances,
        Self::TerminateInstances,
        Self::DescribeInstances,
        Self::DescribeSpotInstanceRequests,
        Self::CancelSpotInstanceRequests,
        Self::DescribeInstanceTypes,
        Self::DescribeInstanceTypeOfferings,
        Self::DescribeSpotPriceHistory,
        Self::DescribeImages,
        Self::DescribeRegions,
        Self::DescribeVpcs,
        Self::DescribeSubnets,
        Self::DescribeSecurityGroups,
        Self::CreateSecurityGroup,
        Self::AuthorizeSecurityGroupIngress,
        Self::RevokeSecurityGroupIngress,
        Self::DeleteSecurityGroup,
        Self::GetCallerIdentity,
    ];

    /// The name on the wire, and in a policy after the service's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RunInstances => "RunInstances",
            Self::TerminateInstances => "TerminateInstances",
            Self::DescribeInstances => "DescribeInstances",
            Self::DescribeSpotInstanceRequests => "DescribeSpotInstanceRequests",
            Self::CancelSpotInstanceRequests => "CancelSpotInstanceRequests",
            Self::DescribeInstanceTypes => "DescribeInstanceTypes",
            Self::DescribeInstanceTypeOfferings => "DescribeInstanceTypeOfferings",
            Self::DescribeSpotPriceHistory => "DescribeSpotPriceHistory",
            Self::DescribeImages => "DescribeImages",
            Self::DescribeRegions => "DescribeRegions",
            Self::DescribeVpcs => "DescribeVpcs",
            Self::DescribeSubnets => "DescribeSubnets",
            Self::DescribeSecurityGroups => "DescribeSecurityGroups",
            Self::CreateSecurityGroup => "CreateSecurityGroup",
            Self::AuthorizeSecurityGroupIngress => "AuthorizeSecurityGroupIngress",
            Self::RevokeSecurityGroupIngress => "RevokeSecurityGroupIngress",
            Self::DeleteSecurityGroup => "DeleteSecurityGroup",
            Self::GetCallerIdentity => "GetCallerIdentity",
        }
    }

    /// The action that a policy allows it by.
    pub fn action(self) -> String {
        let service = if self == Self::GetCallerIdentity { "sts" } else { "ec2" };
        format!("{service}:{}", self.name())
    }

    /// How fast it may be made in one region of an account: half of what EC2 allows, so that other programs of the account
    /// can still work; all of what it allows for RunInstances, which is little.
    pub const fn rate(self) -> Rate {
        match self {
            Self::RunInstances => Rate { burst: 5, per_sec: 2 },
            Self::TerminateInstances => Rate { burst: 50, per_sec: 2 },
            Self::CancelSpotInstanceRequests
            | Self::CreateSecurityGroup
            | Self::AuthorizeSecurityGroupIngress
            | Self::RevokeSecurityGroupIngress
            | Self::DeleteSecurityGroup => Rate { burst: 25, per_sec: 2 },
            Self::DescribeInstances
            | Self::DescribeSpotInstanceRequests
            | Self::DescribeInstanceTypes
            | Self::DescribeInstanceTypeOfferings
            | Self::DescribeSpotPriceHistory
            | Self::DescribeImages
            | Self::DescribeRegions
            | Self::DescribeVpcs
            | Self::DescribeSubnets
            | Self::DescribeSecurityGroups
            | Self::GetCallerIdentity => Rate { burst: 50, per_sec: 10 },
        }
    }
}
