//! `foretell inspect`: what is in a model file, whether or not it can be scored.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use foretell_model::{Description, InputKind, LoadOptions, Report, Signature, StepReport, paths};

use crate::{model_file, terminal};

/// Show what is in a model file, without running any of it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  foretell inspect model.joblib
  foretell inspect models.pickle --at 'stores[\"St. Gallen\"].best'
  foretell inspect suspicious.pickle --json

Nothing in the file is ever executed. The exit code is 0 for a model that can be scored, 1 for a file that is refused; \
the report says why, and lists every global that the file names.")]
pub(crate) struct InspectArgs {
    /// The model file, or an archive or MLflow folder of one; several that are one model stand with a plus between them
    model: PathBuf,
    /// Where the model is in a file that holds several things: `model`, `models[2].best`, `stores["St. Gallen"]`; a chain
    /// is `scaler+model`
    #[arg(long, value_name = "PATH")]
    at: Option<String>,
    /// The model's inputs, in its order, where the file does not tell them (a FeatureHasher's)
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    columns: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    let read = model_file::read(&model_file::paths(&args.model))?;
    let options = LoadOptions {
        at: args.at.as_deref().map(paths).unwrap_or_default(),
        columns: if args.columns.is_empty() { read.columns } else { args.columns.clone() },
        ..LoadOptions::default()
    };
    let inspected = foretell_package::inspect(&read.bytes, &options);
    let report = inspected.map_err(|error| anyhow::anyhow!("{}: {error}", args.model.display()))?;
    let text =
        if args.json { format!("{:#}\n", foretell_package::json(&report)) } else { terminal::lines(&as_text(&report)) };
    std::io::stdout().write_all(text.as_bytes())?;
    if let Err(error) = report.model {
        bail!("{}: {:#}", args.model.display(), crate::commands::data::unnamed(error.into()));
    }
    Ok(())
}

fn as_text(report: &Report) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "{name:<10} {value}");
    };
    let protocol = report.protocol.map(|protocol| format!(", protocol {protocol}")).unwrap_or_default();
    let packed = report.unpacked.filter(|unpacked| *unpacked != report.size as u64);
    let unpacked = packed.map(|unpacked| format!(" ({unpacked} unpacked)")).unwrap_or_default();
    line("file", &format!("{}{protocol}, {} bytes{unpacked}", report.container, report.size));
    line("sha256", &report.sha256);
    match &report.model {
        Ok(model) => {
            let description = model.describe();
            for (library, version) in &description.libraries {
                line("library", &format!("{library} {}", version.as_deref().unwrap_or("(version unknown)")));
            }
            if description.trees > 0 {
                let Description { trees, nodes, max_depth, .. } = description;
                line("trees", &format!("{trees}, {nodes} nodes, depth at most {max_depth}"));
                line("kernel", &description.kernel);
            }
            line("memory", &format!("about {} bytes", description.bytes));
            description.notes.iter().for_each(|note| line("note", note));
            out.push_str("\nsteps\n");
            step(&mut out, &description.root, 1);
            signature(&mut out, model.signature());
        }
        Err(error) => line("refused", &error.to_string()),
    }
    if !report.globals.is_empty() {
        out.push_str("\nglobals (classes and functions that the file names; none is ever called)\n");
        for global in &report.globals {
            let verdict = match (global.allowed, global.opaque) {
                (false, _) => "REFUSED",
                (true, true) => "not run",
                (true, false) => "allowed",
            };
            let times = if global.times > 1 { format!(", {} times", global.times) } else { String::new() };
            let _ = writeln!(out, "  {verdict}  {}.{}  at byte {}{times}", global.module, global.name, global.byte);
        }
    }
    if let Some(stopped) = &report.stopped {
        let _ = writeln!(out, "\nthe search for globals ended early, more may follow: {stopped}");
    }
    out
}

/// One step and those inside; steps nest a few levels, as the loader limits.
fn step(out: &mut String, report: &StepReport, depth: usize) {
    let indent = "  ".repeat(depth);
    let name = report.name.as_deref().map(|name| format!("{name}: ")).unwrap_or_default();
    let _ = write!(out, "{indent}{name}{}", report.class);
    if let Some(trees) = &report.trees {
        let _ = write!(out, " ({} trees, {} nodes, depth at most {})", trees.trees, trees.nodes, trees.max_depth);
    }
    out.push('\n');
    if !report.columns.is_empty() {
        let _ = writeln!(out, "{indent}  columns: {}", report.columns.join(", "));
    }
    for (parameter, value) in &report.parameters {
        let _ = writeln!(out, "{indent}  {parameter} = {value}");
    }
    for child in &report.children {
        step(out, child, depth + 1);
    }
}

fn kind(kind: &InputKind) -> String {
    match kind {
        InputKind::Number => "number".to_string(),
        InputKind::Text => "text".to_string(),
        InputKind::Bool => "true or false".to_string(),
        InputKind::Any => "number or text".to_string(),
        InputKind::List => "list".to_string(),
        InputKind::Category(levels) => {
            let shown: Vec<&str> = levels.iter().take(10).map(String::as_str).collect();
            let more = if levels.len() > shown.len() { ", …" } else { "" };
            format!("one of {} levels: {}{more}", levels.len(), shown.join(", "))
        }
    }
}

fn signature(out: &mut String, signature: &Signature) {
    let _ = writeln!(
        out,
        "\ninputs ({}{})",
        signature.inputs.len(),
        match signature.names() {
            Some(_) => "",
            None => ", by position: the file knows no names",
        }
    );
    for (index, input) in signature.inputs.iter().enumerate() {
        let name = input.name.clone().unwrap_or_else(|| format!("feature {index}"));
        let _ = writeln!(out, "  {name}: {}", kind(&input.kind));
    }
    let all = [
        ("predict", &signature.predict),
        ("predict_proba", &signature.proba),
        ("decision_function", &signature.decision),
        ("score_samples", &signature.samples),
        ("transform", &signature.transform),
    ];
    out.push_str("\noutputs\n");
    for (method, outputs) in all {
        if !outputs.is_empty() {
            let list: Vec<String> = outputs.iter().map(|o| format!("{} ({})", o.name, o.data_type)).collect();
            let _ = writeln!(out, "  {method}: {}", list.join(", "));
        }
    }
}
