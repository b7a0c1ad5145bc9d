//! What pirogue pushed to a real registry, read back by a client that others wrote.

mod harness;

use std::fs;

use harness::registry::Registry;
use harness::workspace::{BASE, TestWorkspace};
use harness::{layout, sha256};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};

fn client() -> Client {
    // An error if another test of this program was first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new(ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() })
}

/// The blob, which is what its descriptor says.
async fn blob(client: &Client, image: &Reference, descriptor: &OciDescriptor) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.pull_blob(image, descriptor, &mut bytes).await.unwrap();
    assert_eq!((sha256(&bytes), bytes.len() as i64), (descriptor.digest.clone(), descriptor.size), "{descriptor:?}");
    bytes
}

#[tokio::test]
async fn images_are_read_back() {
    let Some(registry) = Registry::start() else { return };
    let workspace = TestWorkspace::shop().with_noise("apps/web/noise", 3 << 20);
    for (compression, media_type) in [
        ("gzip", "application/vnd.oci.image.layer.v1.tar+gzip"),
        ("zstd", "application/vnd.oci.image.layer.v1.tar+zstd"),
        ("none", "application/vnd.oci.image.layer.v1.tar"),
    ] {
        let (base, images) = (format!("oci:{BASE}:20-alpine"), workspace.beside(compression));
        let (remote, local) = (format!("{}/shop", registry.host()), format!("oci:{}", images.display()));
        let run = workspace.run(&[
            "build",
            "--compression",
            compression,
            "--platform",
            "linux/amd64",
            "--base",
            &base,
            "--tag",
            compression,
            "--to",
            &remote,
            "--to",
            &local,
        ]);
        assert_eq!(run.code, Some(0), "{run}");
        let expected = layout::validate(&images).into_values().next().expect("one image was built");

        let image: Reference = format!("{}/shop/web:{compression}", registry.host()).parse().unwrap();
        let client = client();
        let (raw, digest) =
            client.pull_manifest_raw(&image, &RegistryAuth::Anonymous, &[OCI_IMAGE_MEDIA_TYPE]).await.unwrap();
        assert_eq!((digest, sha256(&raw)), (expected.digest.clone(), expected.digest), "{compression}");
        let (manifest, ..) = client.pull_manifest_and_config(&image, &RegistryAuth::Anonymous).await.unwrap();
        let config: serde_json::Value = serde_json::from_slice(&blob(&client, &image, &manifest.config).await).unwrap();
        assert_eq!(config, expected.config, "{compression}");
        let diff_ids = config["rootfs"]["diff_ids"].as_array().expect("a config lists its layers");
        assert_eq!(manifest.layers.len(), diff_ids.len(), "{compression}");
        assert_eq!(manifest.layers.last().expect("there are layers").media_type, media_type);
        for layer in &manifest.layers {
            let bytes = blob(&client, &image, layer).await;
            let hex = layer.digest.strip_prefix("sha256:").expect("pirogue's digests are SHA-256");
            assert!(bytes == fs::read(images.join("blobs/sha256").join(hex)).unwrap(), "{}", layer.digest);
        }
    }
}
