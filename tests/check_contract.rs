//! What `pirogue check` says of how services and the world around them fit, each beside a twin that fits.

mod harness;

use harness::checks::{assert_found, run, shop};
use harness::workspace::TestWorkspace;
use insta::assert_snapshot;

/// The workspace with this code as its service.
fn code(main: &str) -> TestWorkspace {
    shop(&[("apps/web/dist/main.js", main)])
}

#[test]
fn directories_that_code_makes() {
    let (error, note) = ("error directory-not-writable", "note directory-not-writable");
    let start = "const fs = require('fs'), { join } = require('path'), { mkdirSync } = fs;";
    let table: [(&str, &str, &[&str]); 20] = [
        ("in the working directory", "fs.mkdirSync('logs')", &[]),
        ("below it", "fs.mkdirSync('./logs/a', { recursive: true })", &[]),
        ("beside the code", "fs.mkdirSync(join(__dirname, '../uploads'))", &[]),
        ("for whomever", "fs.mkdirSync('/tmp/a')", &[]),
        ("of the system", "fs.mkdirSync('/var/log/web', { recursive: true })", &[error]),
        ("without the module's name", "mkdirSync('/data')", &[error]),
        ("above everything", "fs.mkdirSync(join(process.cwd(), '../../../data'))", &[error]),
        ("a file", "fs.writeFileSync('/data.txt', '')", &[error]),
        ("without waiting", "fs.mkdir('/data', () => {})", &[note]),
        ("a stream", "fs.createWriteStream('/data/a.log')", &[note]),
        ("later", "() => fs.mkdirSync('/data')", &[note]),
        ("tried", "try { fs.mkdirSync('/data') } catch {}", &[note]),
        ("which is there", "fs.mkdirSync('/etc', { recursive: true })", &[note]),
        ("only read", "fs.existsSync('/data')", &[]),
        ("computed", "fs.mkdirSync(process.env.DATA)", &[]),
        ("winston's", "new winston.transports.File({ filename: '/var/log/web/a.log' })", &[error]),
        ("winston's, below", "new winston.transports.File({ filename: 'logs/a.log' })", &[]),
        ("winston's directory", "new DailyRotateFile({ dirname: '/var/log/web', filename: 'a-%DATE%.log' })", &[error]),
        ("multer's", "multer({ dest: '/uploads' })", &[error]),
        ("multer's, below", "multer({ dest: 'uploads/' })", &[]),
    ];
    for (comment, main, expected) in table {
        assert_found(&code(&format!("{start} {main}")), expected, comment);
    }
    let web = code(&format!("{start} fs.mkdirSync('/var/log/web')"));
    assert_snapshot!(run(&web, "check", &[]).stdout, @r#"
    web (1 file of code)
      error[directory-not-writable] apps/web/dist/main.js:1
        the code makes `/var/log/web`, and the image's user (`1001:1001`) may not write `/var/log`
        fix: `writable = ["/var/log/web"]` in pirogue.toml, or a path below the working directory

    1 error, no warnings, 1 note (`--verbose` shows them)
    "#);
    let web = web.and(&[("pirogue.toml", "writable = ['/var/log/web']")]);
    assert_found(&web, &[], "the user has the directory");
    let web = web.and(&[("pirogue.toml", "user = '0:0'")]);
    assert_found(&web, &[], "root may write everywhere");
}

#[test]
fn ports_that_code_listens_on() {
    let found = "warning port-hard-coded";
    let table: [(&str, &str, &[&str]); 10] = [
        ("its port", "app.listen(8000)", &[]),
        ("another", "app.listen(3000)", &[found]),
        ("as a text", "app.listen('3000', '0.0.0.0')", &[found]),
        ("as an option", "app.listen({ port: 3000 })", &[found]),
        ("a constant", "const port = 3000; app.listen(port)", &[found]),
        ("a variable", "let port = 3000; app.listen(port)", &[]),
        ("computed", "app.listen(config.port)", &[]),
        ("a second one", "app.listen(9464); app.listen(8000)", &[]),
        ("as the image says", "app.listen(process.env.PORT || 3000)", &[]),
        ("by a name", "const name = 'PORT'; app.listen(3000)", &[]),
    ];
    for (comment, main, expected) in table {
        assert_found(&code(main).and(&[("pirogue.toml", "port = 8000")]), expected, comment);
    }
    let web = code("app.listen(3000)");
    assert_found(&web, &[], "nobody says which port");
    let web = web.and(&[("pirogue.toml", "port = 8000")]);
    assert_snapshot!(run(&web, "check", &[]).stdout, @"
    web (1 file of code)
      warning[port-hard-coded] apps/web/dist/main.js:1
        the code listens on 3000, whatever `PORT` is; the image says `8000`
        fix: listen on `process.env.PORT`, or `port = 3000` in pirogue.toml

    no errors, 1 warning, 1 note (`--verbose` shows them)
    ");
}

#[test]
fn paths_of_health_checks() {
    let found = "warning health-path-unknown";
    let table: [(&str, &str, &[&str]); 9] = [
        ("a route", "app.get('/health', (_, answer) => answer.end())", &[]),
        ("no such route", "app.get('/status', (_, answer) => answer.end())", &[found]),
        (
            "a controller",
            "__decorate([(0, common_1.Controller)('health')], A); __decorate([(0, common_1.Get)()], A)",
            &[],
        ),
        ("no such controller", "__decorate([(0, common_1.Controller)('status')], A)", &[found]),
        ("code without routes", "require('left').serve()", &[]),
        ("something else that gets", "config.get('status')", &[]),
        ("a health check of a library", "app.get('/a'); terminus(app, { healthChecks: { '/api/health': f } })", &[]),
        ("in another file", "app.use('/api', require('./api'))", &[]),
        ("a prefix", "app.get(`${prefix}/health`); app.get('/a')", &[]),
    ];
    for (comment, main, expected) in table {
        let web = code(main).and(&[("apps/web/dist/api.js", "router.get('/health')")]);
        assert_found(&web.and(&[("pirogue.toml", "port = 8000\nhealth = '/api/health?full=1'")]), expected, comment);
    }
    let web = code("app.get('/status')").and(&[("pirogue.toml", "port = 8000\nhealth = '/health'")]);
    assert_snapshot!(run(&web, "check", &[]).stdout, @"
    web (1 file of code)
      warning[health-path-unknown]
        no code of the service has the word `health`, and its health check asks for `/health`
        fix: add the route, or correct `health` in pirogue.toml

    no errors, 1 warning, 1 note (`--verbose` shows them)
    ");
}

#[test]
fn native_code_of_packages() {
    let found = "warning addon-missing /app/node_modules/left/package.json";
    let plain = r#"{"name": "left", "version": "1.2.0"}"#;
    let loads = r#"{"name": "left", "version": "1.2.0", "dependencies": {"bindings": "1"}}"#;
    let variants = r#"{"name": "left", "version": "1.2.0", "optionalDependencies": {"left-linux-x64-musl": "1"}}"#;
    let recipe = ("node_modules/left/binding.gyp", "{}");
    let addon = ("node_modules/left/build/Release/left.node", "");
    let of_another = ("node_modules/bindings/build/left.node", "");
    let table: [(&str, &str, &[(&str, &str)], &[&str]); 8] = [
        ("none needed", plain, &[], &[]),
        ("a recipe, and nothing made by it", plain, &[recipe], &[found]),
        ("made", plain, &[recipe, addon], &[]),
        ("looked for, and not there", loads, &[], &[found]),
        ("there", loads, &[addon], &[]),
        ("that of another package", loads, &[of_another], &[found]),
        ("a package for each platform", variants, &[recipe], &[]),
        ("not loaded", plain, &[recipe, ("apps/web/dist/main.js", "")], &[]),
    ];
    for (comment, left, files, expected) in table {
        let bindings = [
            ("node_modules/bindings/package.json", r#"{"name": "bindings", "version": "1.5.0"}"#),
            ("node_modules/left/package.json", left),
        ];
        assert_found(&shop(&bindings).and(files), expected, comment);
    }
    let web = shop(&[recipe]);
    assert_snapshot!(run(&web, "check", &[]).stdout, @"
    web (2 files of code)
      warning[addon-missing] /app/node_modules/left/package.json
        `left@1.2.0` loads native code of its own, and has none in the image
        fix: let its install script run on a machine like the base, such as with `npm rebuild left`

    no errors, 1 warning, 1 note (`--verbose` shows them)
    ");
    let optional =
        r#"{"name": "web", "version": "1.0.0", "main": "dist/main.js", "optionalDependencies": {"left": "1"}}"#;
    assert_found(&web.and(&[("apps/web/package.json", optional)]), &[], "it may be missing whole");
}

/// Two services beside a compose file.
fn two_services(settings: &str, compose: &str) -> TestWorkspace {
    shop(&[
        ("apps/admin/package.json", r#"{"name": "admin", "main": "dist/main.js"}"#),
        ("apps/admin/dist/main.js", ""),
        ("pirogue.toml", &format!("[service.web]\nport = 3001\n[service.admin]\nport = 3011\n{settings}")),
        ("docker-compose.yml", compose),
    ])
}

#[test]
fn ports_of_the_host() {
    let found = "warning host-port-taken docker-compose.yml";
    let database = "database: { image: postgres, ports: ['5432:5432'] }";
    let table: [(&str, &str, &str, &[&str]); 13] = [
        ("one each", "ports: ['3001:3001']", "ports: ['3011:3011']", &[]),
        ("the same", "ports: ['3001:3001']", "ports: ['3001:3011']", &[found]),
        ("the same in a container", "ports: ['3001:80']", "ports: ['3011:80']", &[]),
        ("another protocol", "ports: ['3001:80']", "ports: ['3001:80/udp']", &[]),
        ("at two addresses", "ports: ['127.0.0.1:3001:80']", "ports: ['127.0.0.2:3001:80']", &[]),
        ("at all addresses", "ports: ['3001:80']", "ports: ['127.0.0.2:3001:80']", &[found]),
        ("never together", "profiles: [a], ports: ['3001:80']", "profiles: [b], ports: ['3001:80']", &[]),
        ("of somebody else", "ports: ['5432:80']", "ports: ['3011:80']", &[found]),
        ("in the host's network", "network_mode: host", "ports: ['3001:3011']", &[found]),
        ("both in the host's network", "network_mode: host", "network_mode: host", &[]),
        (
            "the same metrics",
            "network_mode: host, environment: { METRICS_PORT: 9464 }",
            "network_mode: host, environment: [METRICS_PORT=9464]",
            &[found],
        ),
        ("the network of the other", "environment: { PORT: 3011 }", "network_mode: 'service:web'", &[found]),
        ("built from there", "ports: ['3001:80']", "ports: ['3001:80'], build: apps/admin", &[found]),
    ];
    for (comment, web, admin, expected) in table {
        let name = if comment == "built from there" { "backend" } else { "admin" };
        let compose = format!("services:\n  web: {{ {web} }}\n  {name}: {{ {admin} }}\n  {database}\n");
        assert_found(&two_services("", &compose), expected, comment);
    }
    let taken = two_services("", "services:\n  web: { ports: ['3001:80'] }\n  admin: { ports: ['3001:80'] }\n");
    assert_snapshot!(run(&taken, "check", &[]).stdout, @"
    admin (1 file of code)

    web (2 files of code)
      warning[host-port-taken] docker-compose.yml
        `admin` and `web` both want port 3001 of the host
        fix: give one of them another port

    no errors, 1 warning, 2 notes (`--verbose` shows them)
    ");
    assert_found(&taken.and(&[("docker-compose.yml", "services: {}")]), &[], "no services");
    let unreadable = two_services("", "services: [");
    assert_snapshot!(run(&unreadable, "check", &[]), @"
    exit code: 0
    ----- stdout
    admin (1 file of code)

    web (2 files of code)

    no errors, no warnings, 2 notes (`--verbose` shows them)
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    warning: `docker-compose.yml` cannot be read: unclosed bracket '[' at line 1, column 11
    ");
}

#[test]
fn addresses_of_other_services() {
    let found = "warning address-with-wrong-port";
    let none = "services: {}";
    let moved = "services: { admin: { environment: { PORT: 4000 }, ports: ['80:4000'] } }";
    let table: [(&str, &str, &str, &[&str]); 8] = [
        ("right", "http://admin:3011/api", none, &[]),
        ("wrong", "http://admin:3001/api", none, &[found]),
        ("of nobody", "http://database:5432", none, &[]),
        ("without a port", "http://admin/api", none, &[]),
        ("moved by compose", "http://admin:4000", moved, &[]),
        ("not moved along", "http://admin:3011", moved, &[found]),
        ("as the host has it", "http://admin:80", moved, &[found]),
        (
            "in the compose file",
            "http://admin:3011",
            "services: { web: { environment: ['ADMIN=http://admin:3001'] }, admin: {} }",
            &["warning address-with-wrong-port docker-compose.yml"],
        ),
    ];
    for (comment, address, compose, expected) in table {
        let settings = format!("[service.web.env]\nADMIN_URL = '{address}'\n");
        assert_found(&two_services(&settings, compose), expected, comment);
    }
    let wrong = two_services("[service.web.env]\nADMIN_URL = 'http://admin:3001'\n", none);
    assert_snapshot!(run(&wrong, "check", &[]).stdout, @"
    admin (1 file of code)

    web (2 files of code)
      warning[address-with-wrong-port] pirogue.toml
        `ADMIN_URL` has the address `admin:3001`, and `admin` listens on 3011
        fix: the port that `admin` listens on in its container

    no errors, 1 warning, 2 notes (`--verbose` shows them)
    ");
}
