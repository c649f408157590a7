//! stub
pub struct Image;
impl Image {
    pub fn words(&self) -> &[u32] {
        &[]
    }
    pub fn prefixes_v4(&self) -> Vec<([u8; 4], u8, u32)> {
        Vec::new()
    }
    pub fn prefixes_v6(&self) -> Vec<([u8; 16], u8, u32)> {
        Vec::new()
    }
}
