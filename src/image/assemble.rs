use super::{BaseImage, RunSettings};
use crate::layer::Layer;
use crate::manifest::{
    BASE_DIGEST, BASE_NAME, Descriptor, DocumentError, Format, History, ImageConfig, Manifest, Raw, RootFs,
};
use crate::platform::Platform;

/// A finished image: its documents, and its layers by descriptor.
#[derive(Clone, Debug)]
pub struct Image {
    /// The platform it is for.
    pub platform: Platform,
    /// The format of its documents.
    pub format: Format,
    /// The manifest.
    pub manifest: Raw<Manifest>,
    /// The config.
    pub config: Raw<ImageConfig>,
    /// How many of the layers, from the bottom, are the base's.
    pub base_layers: usize,
}

impl Image {
    /// The descriptor of the manifest.
    pub fn descriptor(&self) -> Descriptor {
        let mut descriptor = self.manifest.descriptor(self.format.manifest());
        descriptor.platform = Some(self.platform.clone());
        descriptor
    }

    /// The layers that come from the base.
    pub fn base_layers(&self) -> &[Descriptor] {
        &self.manifest.parsed().layers[..self.base_layers]
    }

    /// The layers above the base.
    pub fn own_layers(&self) -> &[Descriptor] {
        &self.manifest.parsed().layers[self.base_layers..]
    }
}

/// Why an image cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The base contradicts itself.
    #[error("the base has {layers} layers, but its config lists {diff_ids} diff IDs: `{base}`")]
    BaseLayers {
        /// The base's name.
        base: String,
        /// Layers in its manifest.
        layers: usize,
        /// Diff IDs in its config.
        diff_ids: usize,
    },
    /// A layer that the format has no media type for.
    #[error("Docker's format has no layers of the media type `{media_type}`, as the base has one: `{base}`")]
    LayerNotInFormat {
        /// The base's name.
        base: String,
        /// The layer's media type.
        media_type: String,
    },
    /// A document cannot be encoded.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl AssembleError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::LayerNotInFormat { .. } => {
                Some("`--format oci`, or a base whose layers are compressed with gzip".into())
            }
            Self::BaseLayers { .. } | Self::Document(_) => None,
        }
    }
}

/// Puts an image together. Pure: the same arguments give the same bytes.
///
/// `created` is the time of the image and of its history, RFC 3339.
pub fn assemble(
    base: &BaseImage,
    layers: &[Layer],
    settings: &RunSettings,
    format: Format,
    created: &str,
) -> Result<Image, AssembleError> {
    let base_config = base.config.parsed();
    if base_config.rootfs.diff_ids.len() != base.layers.len() {
        return Err(AssembleError::BaseLayers {
            base: base.name.clone(),
            layers: base.layers.len(),
            diff_ids: base_config.rootfs.diff_ids.len(),
        });
    }
    let mut diff_ids = base_config.rootfs.diff_ids.clone();
    diff_ids.extend(layers.iter().map(Layer::diff_id));
    let config = ImageConfig {
        created: Some(created.to_owned()),
        platform: base.platform.clone(),
        config: settings.over(&base_config.config),
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids },
        history: history(base, layers, created),
    };
    let config = Raw::encode("image config", config)?;
    let layers = base.layers.iter().chain(layers.iter().map(Layer::descriptor)).map(|layer| {
        let media_type = format.layer(&layer.media_type).ok_or_else(|| AssembleError::LayerNotInFormat {
            base: base.name.clone(),
            media_type: layer.media_type.clone(),
        })?;
        Ok(Descriptor { media_type: media_type.to_owned(), ..layer.clone() })
    });
    let layers = layers.collect::<Result<_, AssembleError>>()?;
    let mut manifest = Manifest::new(format, config.descriptor(format.config()), layers);
    // Docker's format has no annotations.
    if format == Format::Oci {
        manifest.annotations.extend(base.reference.clone().map(|name| (BASE_NAME.to_owned(), name)));
        manifest.annotations.insert(BASE_DIGEST.to_owned(), base.manifest.digest().to_string());
    }
    let manifest = Raw::encode("image manifest", manifest)?;
    Ok(Image { platform: base.platform.clone(), format, manifest, config, base_layers: base.layers.len() })
}

/// The base's history, then one entry for each layer. A history that does not match the layers makes podman and buildah
/// refuse the image, so a base's that does not is replaced by one entry for each of its layers.
fn history(base: &BaseImage, layers: &[Layer], created: &str) -> Vec<History> {
    let entry = |created_by: String| History {
        created: Some(created.to_owned()),
        created_by: Some(created_by),
        ..History::default()
    };
    let mut history = base.config.parsed().history.clone();
    if history.iter().filter(|entry| !entry.empty_layer).count() != base.layers.len() {
        history = base.layers.iter().map(|_| entry("base image".to_owned())).collect();
    }
    history.extend(layers.iter().map(|layer| entry(format!("pirogue: {}", layer.role()))));
    history
}
