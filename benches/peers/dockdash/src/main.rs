//! `peer-dockdash BASE TARGET CACHE SRC PATH...`: one layer for each path, on the base, pushed over plain HTTP.

use std::path::{Path, PathBuf};

use dockdash::{Arch, BlobCache, ClientProtocol, Image, Layer, PushOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, target, cache, src, paths @ ..] = arguments.as_slice() else {
        return Err("usage: peer-dockdash BASE TARGET CACHE SRC PATH...".into());
    };
    let blobs = BlobCache::with_path(PathBuf::from(cache))?;
    let mut image = Image::builder()
        .from(base)
        .platform("linux", &Arch::Amd64)
        .protocol(ClientProtocol::Http)
        .blob_cache(blobs.clone())
        .working_dir("/app")
        .cmd(vec!["node".into(), "dist/main.js".into()])
        .output_to(Path::new(cache).join("image.oci.tar"));
    for path in paths {
        let layer = Layer::builder()?.blob_cache(blobs.clone());
        let (on_disk, in_image) = (Path::new(src).join(path), format!("./app/{path}"));
        let layer = match on_disk.is_dir() {
            true => layer.directory(&on_disk, &in_image)?,
            false => layer.file(&on_disk, &in_image, Some(0o644))?,
        };
        image = image.layer(layer.build().await?);
    }
    let (image, _) = image.build().await?;
    image.push(target, &PushOptions { protocol: ClientProtocol::Http, ..PushOptions::default() }).await?;
    Ok(())
}
