//! `--to TARGET [--then CMD]`, as often as there are places: a program belongs to the place that was named before it.

use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use crate::deliver;
use crate::model::target::Target;

/// The places that were named, each with the words of a program to be run there.
pub(super) struct To {
    pub(super) places: Vec<(Target, Option<Vec<String>>)>,
}

/// A target that can be delivered to.
pub(super) fn target(text: &str) -> Result<Target, String> {
    let target: Target = text
        .parse()
        .map_err(|error: crate::model::target::TargetError| error.to_string())?;
    deliver::form(&target)?;
    Ok(target)
}

impl Args for To {
    fn augment_args(command: Command) -> Command {
        command
            .arg(
                Arg::new("to")
                    .long("to")
                    .value_name("TARGET")
                    .action(ArgAction::Append)
                    .value_parser(target)
                    .help("Name a place, such as file:/etc/payments/dfns.env, and deliver to it; docs/delivery.md lists what there is"),
            )
            .arg(
                Arg::new("then")
                    .long("then")
                    .value_name("CMD")
                    .action(ArgAction::Append)
                    .requires("to")
                    .value_parser(NonEmptyStringValueParser::new())
                    .help("Run a program after each change of the place before it, such as 'systemctl reload payments'; no shell runs it"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for To {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let targets = matches.get_many::<Target>("to").into_iter().flatten();
        let at = matches.indices_of("to").into_iter().flatten();
        let mut places: Vec<(usize, Target, Option<Vec<String>>)> =
            at.zip(targets).map(|(at, target)| (at, target.clone(), None)).collect();
        let programs = matches.get_many::<String>("then").into_iter().flatten();
        let wrong = |text: &str| Error::raw(ErrorKind::ValueValidation, format!("{text}\n"));
        for (at, program) in matches.indices_of("then").into_iter().flatten().zip(programs) {
            let place = places.iter_mut().rev().find(|(place, ..)| *place < at);
            let Some((_, target, then)) = place else {
                return Err(wrong("--then is to stand behind the --to that it belongs to"));
            };
            if !target.kind().has_host() {
                return Err(wrong("--then goes with a place on one machine, such as file:"));
            }
            // What it says is not repeated: a secret may have been pasted there.
            let words =
                shell_words::split(program).map_err(|_| wrong("--then has a quotation mark that is not closed"))?;
            if words.is_empty() || then.replace(words).is_some() {
                return Err(wrong("--then is one program for one place"));
            }
        }
        Ok(Self {
            places: places.into_iter().map(|(_, target, then)| (target, then)).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
