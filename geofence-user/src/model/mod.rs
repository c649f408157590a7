//! Plain types that every other folder may use. They know neither files nor the kernel.

pub mod attention;
pub mod countries;
pub mod duration;
pub mod event_settings;
pub mod failure;
pub mod filter_options;
pub mod frame_conditions;
pub mod framing;
pub mod geoip_source;
pub mod interface;
pub mod json;
pub mod kernel_version;
pub mod link_type;
pub mod list;
pub mod listing;
pub mod policy;
mod policy_words;
pub mod private_pins;
pub mod quantity;
pub mod secret;
pub mod server_url;
pub mod shortfall;
pub mod special_use;
pub mod text;
pub mod units;
pub mod word;
