//! What the operations take and answer.

use longshore_wire::{Kind, MemberDef, ShapeDef, ShapeRef, Timestamp, structure};

static LIFETIME: ShapeDef = ShapeDef::new("Lifetime", Kind::Integer).min(60).max(86_400);
static INSTANCE: ShapeDef = ShapeDef::new("ContainerInstance", Kind::String).min(1).max(256);
static SECRET: ShapeDef = ShapeDef::new("Secret", Kind::String).sensitive();
static CLIENT_TOKEN: ShapeDef =
    ShapeDef::new("ClientToken", Kind::String).min(32).max(64).pattern("[!-~]+").sensitive();

structure! { CreateJoinTokenRequest, ShapeDef::structure("CreateJoinTokenRequest"), {
    expires_in_seconds: i32 = MemberDef::new("expiresInSeconds", ShapeRef::Table(&LIFETIME)),
    container_instance: String = MemberDef::new("containerInstance", ShapeRef::Table(&INSTANCE)),
    edge: bool = MemberDef::new("edge", ShapeRef::of::<bool>()),
} }

structure! { CreateJoinTokenResponse, ShapeDef::structure("CreateJoinTokenResponse"), {
    join_token: String = MemberDef::new("joinToken", ShapeRef::Table(&SECRET)),
    container_instance_arn: String = MemberDef::new("containerInstanceArn", ShapeRef::of::<String>()),
    expires_at: Timestamp = MemberDef::new("expiresAt", ShapeRef::of::<Timestamp>()),
} }

structure! { JoinNodeRequest, ShapeDef::structure("JoinNodeRequest"), {
    client_token: String = MemberDef::new("clientToken", ShapeRef::Table(&CLIENT_TOKEN)).required(),
} }

structure! { JoinNodeResponse, ShapeDef::structure("JoinNodeResponse"), {
    access_key_id: String = MemberDef::new("accessKeyId", ShapeRef::of::<String>()),
    secret_access_key: String = MemberDef::new("secretAccessKey", ShapeRef::Table(&SECRET)),
    container_instance_arn: String = MemberDef::new("containerInstanceArn", ShapeRef::of::<String>()),
} }
