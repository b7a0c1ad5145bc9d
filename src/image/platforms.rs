use std::slice;

use super::Image;
use crate::manifest::{Descriptor, DocumentError, Format, Index, Raw};

/// The images of one service, and what its name stands for: the image itself where there is one platform, else an index
/// over one image for each.
#[derive(Clone, Debug)]
pub enum PlatformImages {
    /// An image for one platform.
    One(Box<Image>),
    /// Images for several platforms.
    Several {
        /// In the order of their platforms.
        images: Vec<Image>,
        /// The index over them, in the same order.
        index: Box<Raw<Index>>,
        /// That of all documents.
        format: Format,
    },
}

impl PlatformImages {
    /// Brings images for different platforms together. Pure: the same images give the same bytes, in whatever order they
    /// come.
    pub fn of(mut images: Vec<Image>) -> Result<Self, DocumentError> {
        images.sort_by(|a, b| a.platform.cmp(&b.platform));
        let images = match <[Image; 1]>::try_from(images) {
            Ok([image]) => return Ok(Self::One(Box::new(image))),
            Err(images) => images,
        };
        let format = images.first().map(|image| image.format).unwrap_or_default();
        let index = Index::new(format, images.iter().map(Image::descriptor).collect());
        Ok(Self::Several { index: Box::new(Raw::encode("image index", index)?), format, images })
    }

    /// The images, in the order of their platforms.
    pub fn images(&self) -> &[Image] {
        match self {
            Self::One(image) => slice::from_ref(image.as_ref()),
            Self::Several { images, .. } => images,
        }
    }

    /// The descriptor of what the name stands for.
    pub fn descriptor(&self) -> Descriptor {
        match self {
            Self::One(image) => image.descriptor(),
            Self::Several { index, format, .. } => index.descriptor(format.index()),
        }
    }

    /// The bytes of what the name stands for.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::One(image) => image.manifest.bytes(),
            Self::Several { index, .. } => index.bytes(),
        }
    }

    /// The images that only the index names: none where there is no index.
    pub fn children(&self) -> &[Image] {
        match self {
            Self::One(_) => &[],
            Self::Several { images, .. } => images,
        }
    }
}
