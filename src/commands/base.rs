use super::{CommandError, Session, terminal};
use crate::build::{base_status, update_bases};
use crate::cli::Base;
use crate::environment::Environment;
use crate::report::{BaseStatusReport, BaseUpdateReport};

/// `pirogue base`
pub(super) fn run(command: &Base, environment: &Environment) -> Result<(), CommandError> {
    let session = Session::without_packages(environment)?;
    let text = match command {
        Base::Update(arguments) => {
            let request = arguments.request();
            let update = update_bases(&request, &arguments.bases, arguments.dry_run, &session.context);
            let report = BaseUpdateReport::new(&session.run(update)?, arguments.dry_run);
            if arguments.json { terminal::json(&report) } else { report.to_string() }
        }
        Base::Status(arguments) => {
            let images = session.run(base_status(&arguments.request(), &session.context))?;
            let report = BaseStatusReport::new(&images, environment.now);
            if arguments.json { terminal::json(&report) } else { report.to_string() }
        }
    };
    terminal::output(&text).map_err(CommandError::Output)
}
