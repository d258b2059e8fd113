mod commands;
mod pipeline;
mod pipeline_file;

use clap::Parser;

#[derive(Parser)]
enum Cli {
    Run(commands::run::RunArgs),
    Check(commands::check::CheckArgs),
    Demo(commands::demo::DemoArgs),
    Positions(commands::positions::PositionsArgs),
}

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let done = match Cli::parse() {
        Cli::Run(args) => commands::run::run(args).await,
        Cli::Check(args) => commands::check::run(args).await,
        Cli::Demo(args) => commands::demo::run(args).await,
        Cli::Positions(args) => commands::positions::run(args).await,
    };
    if let Err(error) = done {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    }
}
