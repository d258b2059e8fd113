//! The report: one HTML page that needs nothing else. It holds sums over rows and never a row.

mod classification;
mod features;
mod regression;

use std::fmt::Write as _;

use super::plots::{Hexagons, clip, escape};
use crate::findings::{Findings, Outcome};
use crate::format::count;

const STYLE: &str = include_str!("style.css");

/// A part of the page.
struct Section {
    id: &'static str,
    title: &'static str,
    body: String,
}

impl Findings {
    /// One HTML page that needs nothing else; `when` is written as the time of the evaluation.
    pub fn page(&self, when: &str) -> String {
        page(self, when)
    }
}

fn page(findings: &Findings, when: &str) -> String {
    let mut sections = vec![Section { id: "figures", title: "Figures", body: cards(findings) }];
    match &findings.outcome {
        Outcome::Regression(pairs, _) => sections.extend(regression::sections(pairs)),
        Outcome::Classification(names, figures) => sections.extend(classification::sections(names, figures)),
    }
    sections.extend(features::sections(findings));

    let title = format!("Evaluation of {}", escape(&findings.subject.model));
    let links: String = sections.iter().map(|s| format!(r##"<a href="#{}">{}</a>"##, s.id, s.title)).collect();
    let mut main = String::new();
    for Section { id, title, body } in &sections {
        let _ = writeln!(main, r#"<section id="{id}"><h2>{title}</h2>{body}</section>"#);
    }
    let main = no_break(&main);
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{STYLE}</style>
</head>
<body>
{}
<header>
<h1>{title}</h1>
{}
<nav aria-label="Sections">{links}</nav>
</header>
<main>
{main}</main>
<footer>Made by foretell {}. This page holds counts and means, no records; it loads nothing and sends nothing.</footer>
</body>
</html>
"#,
        clip(),
        no_break(&head(findings, when)),
        env!("CARGO_PKG_VERSION")
    )
}

/// A percent sign stays with its number.
fn no_break(text: &str) -> String {
    text.replace(" %", "\u{a0}%")
}

/// What was evaluated, and what to know first.
fn head(findings: &Findings, when: &str) -> String {
    let subject = &findings.subject;
    let compared = match findings.rows == findings.compared {
        true => count(findings.rows as f64, "row"),
        false => format!("{}, {} compared", count(findings.rows as f64, "row"), count(findings.compared as f64, "row")),
    };
    let mut facts = vec![
        ("Model", subject.class.clone()),
        ("Data", format!("{}: {compared}", subject.data)),
        ("Target", subject.target.clone()),
    ];
    facts.extend(subject.weight.clone().map(|weight| ("Weight", weight)));
    facts.extend([("Evaluated", when.to_string()), ("Model’s SHA-256", subject.sha256.clone())]);
    let facts: String =
        facts.iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", escape(value))).collect();
    let notes = findings.notes();
    let notes = match notes.is_empty() {
        true => String::new(),
        false => {
            let all: String = notes.iter().map(|note| format!("<li>{}</li>", escape(note))).collect();
            format!(r#"<div class="notes" role="note"><ul>{all}</ul></div>"#)
        }
    };
    let lead = findings.figures().first().map_or(String::new(), |figure| escape(&figure.means));
    format!(r#"<p class="lead">{lead}</p><dl>{facts}</dl>{notes}"#)
}

fn cards(findings: &Findings) -> String {
    let card = |figure: crate::findings::Figure| {
        let (shown, means) = (escape(&figure.shown), escape(&figure.means));
        format!(r#"<div class="card"><h3>{}</h3><p class="value">{shown}</p><p>{means}</p></div>"#, figure.name)
    };
    let cards: String = findings.figures().into_iter().map(card).collect();
    format!(r#"<div class="cards">{cards}</div>"#)
}

/// A drawing with its name above and what it shows below.
fn plot(title: &str, svg: &str, below: &str) -> String {
    format!("<figure><h3>{}</h3>{svg}<figcaption>{below}</figcaption></figure>", escape(title))
}

/// Drawings side by side, where there is room.
fn plots(all: &[String]) -> String {
    format!(r#"<div class="plots">{}</div>"#, all.concat())
}

/// A table; the first cell of a row is its name. Wide ones scroll.
fn table(caption: &str, head: &[&str], rows: &[Vec<String>]) -> String {
    let head: String = head.iter().map(|cell| format!(r#"<th scope="col">{}</th>"#, escape(cell))).collect();
    let mut body = String::new();
    for row in rows {
        body.push_str("<tr>");
        for (index, cell) in row.iter().enumerate() {
            let cell = escape(cell);
            let _ = match index {
                0 => write!(body, r#"<th scope="row">{cell}</th>"#),
                _ => write!(body, "<td>{cell}</td>"),
            };
        }
        body.push_str("</tr>");
    }
    scrolling(caption, &format!("<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"), "")
}

/// A table in a box of its own: on a narrow screen it scrolls, its caption does not.
fn scrolling(caption: &str, rows: &str, class: &str) -> String {
    let caption = escape(caption);
    format!(
        r#"<p class="quiet caption">{caption}</p><div class="scroll" tabindex="0" role="region" aria-label="Table"><table class="{class}" aria-label="{caption}">{rows}</table></div>"#
    )
}

/// The same, folded up.
fn folded(summary: &str, table: &str) -> String {
    format!("<details><summary>{}</summary>{table}</details>", escape(summary))
}

/// What the shades of a honeycomb mean, and how many rows it does not show.
fn shades(hexagons: &Hexagons, rows: usize) -> String {
    let shade = |(shade, fewest, most): &(usize, usize, usize)| {
        let many = match fewest == most {
            true => count(*most as f64, "row"),
            false => format!(
                "{} to {}",
                count(*fewest as f64, "row").replace(" rows", "").replace(" row", ""),
                count(*most as f64, "row")
            ),
        };
        format!(r#"<li><span class="swatch s{shade}"></span>{many}</li>"#)
    };
    let list: String = hexagons.shades.iter().map(shade).collect();
    let outside = match hexagons.outside {
        0 => String::new(),
        outside => format!(
            " {} ({}) outside of the frame.",
            count(outside as f64, "row"),
            crate::format::percent(outside as f64 / rows as f64)
        ),
    };
    format!(r#"{outside}<ul class="legend" aria-label="Rows in a cell">{list}</ul>"#)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Subject;
    use crate::groups::{Feature, Group};
    use crate::importance::{Importance, Measure};
    use crate::left_out::LeftOut;
    use crate::metrics::classification::{ClassAnswers, Tally};

    const HOSTILE: &str = "</title></style><script>alert(\"x\")</script>'";

    /// A classification whose every name is hostile.
    fn findings(classes: u32) -> Findings {
        let names: Vec<String> = (0..classes).map(|class| format!("{class}{HOSTILE}")).collect();
        let actual: Vec<u32> = (0..300).map(|row| row % (classes + 1)).collect();
        let predicted: Vec<u32> = (0..300).map(|row| row * 7 % classes).collect();
        let proba =
            (0..classes).map(|class| (0..300).map(|row| f64::from((row + class) % 9) / 9.0).collect()).collect();
        let mut tally = Tally::new(classes as usize, f64::EPSILON);
        tally.add(&ClassAnswers { actual, predicted, proba, ..ClassAnswers::default() });
        let group = |rows| Group { label: HOSTILE.to_string(), rows, error: 0.5, bias: 0.0 };
        let name = HOSTILE.to_string();
        let left_out = LeftOut { refused: [(name.clone(), (1, name.clone()))].into(), ..LeftOut::default() };
        Findings {
            subject: Subject {
                model: name.clone(),
                class: name.clone(),
                sha256: name.clone(),
                data: name.clone(),
                target: name.clone(),
                weight: Some(name.clone()),
            },
            rows: 301,
            compared: 300,
            left_out,
            outcome: Outcome::Classification(names, Box::new(tally.figures())),
            features: vec![Feature { name: name.clone(), groups: vec![group(9), group(8)], spread: 1.0 }],
            sampled: 17,
            importance: Some(Importance { measure: Measure::Gain, features: vec![(name, 1.0)] }),
        }
    }

    #[test]
    fn no_name_is_markup() {
        for classes in [2, 3, 40] {
            let page = page(&findings(classes), "now");
            assert!(!page.contains("<script"), "{classes} classes");
            assert!(!page.contains("alert(\""), "{classes} classes: a quote that could end an attribute");
            assert_eq!(page.matches("</title>").count(), page.matches("<title>").count());
            assert_eq!(page.matches("</style>").count(), 1);
            assert!(page.contains("&lt;script&gt;"), "the names are shown all the same");
        }
    }

    #[test]
    fn many_classes_are_put_together() {
        let page = page(&findings(40), "now");
        assert!(page.contains("30 others"), "a matrix of ten classes and the rest");
        assert!(page.contains("unknown to the model"));
        assert_eq!(page.matches("<path class=\"curve c").count(), 13, "six curves in two plots, and the calibration");
    }
}
