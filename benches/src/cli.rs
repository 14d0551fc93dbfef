//! The command line: which part this process plays.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::cases::{self, Scale};
use crate::net::server;
use crate::net::service::Service;
use crate::rounds::{self, Plan};
use crate::{child, instructions, runtimes, syscalls};

const HELP: &str = "\
cargo bench --bench compare -- [OPTIONS]

  --filter SUBSTRING   only the cases whose name contains this
  --runtimes A,B,..    only these contenders (default: all but tulipa-poll, monoio-legacy)
  --rounds N           rounds per case (default: 5; with --quick 1)
  --quick              small and short: shows that everything runs
  --json FILE          write the figures of every round there too
  --instructions       count user-space instructions under callgrind instead
  --syscalls           count the echo servers' system calls under strace instead
  --list               the cases and the contenders
";

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    match Mode::parse(env::args().skip(1)) {
        Ok(mode) => mode.run(),
        Err(complaint) => {
            eprintln!("{complaint}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

enum Mode {
    Help,
    List,
    Compare(Plan),
    Instructions(Plan),
    Syscalls(Plan),
    /// One measurement, for the comparison.
    Child {
        case: String,
        runtime: String,
        scale: Scale,
    },
    /// Nothing but a sleep, to see whether the runtime starts.
    Probe {
        runtime: String,
    },
    /// An operation without a clock, for callgrind.
    Micro {
        operation: String,
        runtime: String,
        count: u64,
    },
    /// A server, for a load generator.
    Serve {
        runtime: String,
        service: Service,
    },
}

impl Mode {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Plan {
            filter: String::new(),
            runtimes: Vec::new(),
            rounds: None,
            scale: Scale::Full,
            json: None,
        };
        let mut counts = None;
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--help" | "-h" => return Ok(Mode::Help),
                "--list" => return Ok(Mode::List),
                // cargo passes this to every benchmark.
                "--bench" => {}
                "--quick" => plan.scale = Scale::Quick,
                "--filter" => plan.filter = value()?,
                "--rounds" => plan.rounds = Some(number(&value()?)?),
                "--json" => plan.json = Some(PathBuf::from(value()?)),
                "--runtimes" => {
                    plan.runtimes = value()?.split(',').map(str::to_owned).collect();
                    check_names(&plan.runtimes)?;
                }
                "--instructions" => counts = Some(Counts::Instructions),
                "--syscalls" => counts = Some(Counts::Syscalls),
                child::CHILD => {
                    let (case, runtime) = (value()?, value()?);
                    let scale = match value()?.as_str() {
                        child::QUICK => Scale::Quick,
                        _ => Scale::Full,
                    };
                    return Ok(Mode::Child {
                        case,
                        runtime,
                        scale,
                    });
                }
                child::PROBE => return Ok(Mode::Probe { runtime: value()? }),
                child::MICRO => {
                    let (operation, runtime) = (value()?, value()?);
                    return Ok(Mode::Micro {
                        operation,
                        runtime,
                        count: number(&value()?)?,
                    });
                }
                server::SERVE => {
                    let runtime = value()?;
                    return Ok(Mode::Serve {
                        runtime,
                        service: Service::parse(&value()?, &value()?)?,
                    });
                }
                _ => return Err(format!("unknown argument {arg}")),
            }
        }
        Ok(match counts {
            None => Mode::Compare(plan),
            Some(Counts::Instructions) => Mode::Instructions(plan),
            Some(Counts::Syscalls) => Mode::Syscalls(plan),
        })
    }

    fn run(self) -> ExitCode {
        match self {
            Mode::Help => print!("{HELP}"),
            Mode::List => list(),
            Mode::Compare(plan) => return rounds::compare(&plan),
            Mode::Instructions(plan) => return instructions::count(&plan),
            Mode::Syscalls(plan) => return syscalls::count(&plan),
            Mode::Child {
                case,
                runtime,
                scale,
            } => return child::measure(&case, &runtime, scale),
            Mode::Probe { runtime } => return child::probe(&runtime),
            Mode::Micro {
                operation,
                runtime,
                count,
            } => {
                return child::perform(&operation, &runtime, count);
            }
            Mode::Serve { runtime, service } => {
                if let Err(error) = server::run(&runtime, service) {
                    eprintln!("{error}");
                    return ExitCode::FAILURE;
                }
            }
        }
        ExitCode::SUCCESS
    }
}

enum Counts {
    Instructions,
    Syscalls,
}

fn list() {
    println!("cases:");
    for case in cases::all() {
        println!("  {}", case.name);
    }
    println!("contenders: {}", runtimes::ALL.join(", "));
}

fn check_names(names: &[String]) -> Result<(), String> {
    let known = |name: &&String| runtimes::ALL.contains(&name.as_str());
    match names.iter().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => Err(format!(
            "no contender is called {name}: there are {}",
            runtimes::ALL.join(", ")
        )),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{text} is not a number that fits here"))
}
