use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::container::Container;

/// A service of the sample answers, as the user it should be; and what only some services do works too.
pub fn serves(service: &str, container: &mut Container) {
    let (status, body) = container.get("/health");
    assert_eq!(status, 200, "{service}: {body}");
    assert!(body.contains(r#""status":"ok""#) && body.contains(service), "{service}: {body}");
    let (status, body) = container.get("/metrics");
    assert_eq!(status, 200, "{service}: {body}");
    assert!(body.contains("# TYPE "), "{service}: {body}");

    let process = container.process();
    assert_eq!(process.ids(), (1001, 1001), "{service}");
    let inside = fs::metadata(process.path("app/apps").join(service)).unwrap();
    let working_dir = fs::metadata(process.working_dir()).unwrap();
    assert_eq!(
        (working_dir.dev(), working_dir.ino()),
        (inside.dev(), inside.ino()),
        "{service}: its working directory"
    );

    match service {
        "admin-service" => {
            // The password's hash was made by the native addon at the start; now it compares.
            let login = |password| format!(r#"{{"email": "awa@example.org", "password": "{password}"}}"#);
            let (status, body) = container.post("/auth/login", &login("wanzo"));
            assert!(status == 201 && body.contains("token"), "{status} {body}");
            let (status, body) = container.post("/auth/login", &login("wrong"));
            assert_eq!(status, 401, "{body}");
        }
        "gestion_commerciale_service" => {
            let log = process.working_dir().join("logs/gestion.log");
            // The logger writes when it finds the time.
            let is_written = || fs::read_to_string(&log).is_ok_and(|text| text.contains("starting"));
            container.wait_until("the log is in ./logs", is_written);
        }
        _ => {}
    }
}
