//! The page of a running pipeline in a real browser: light and dark, on a desk and on a phone.

use serde_json::Value;

use crate::harness::browser::Browser;
use crate::harness::orders::order;
use crate::harness::sandbox::Sandbox;
use crate::harness::until;

const PIPELINE: &str = "
pipeline: ${id}
source: { file: { path: in/ } }
decode: { csv: { columns: [PNO: utf8, ITEM_n: int64, ORDERDR_n: int64, DEPT_n: int64, SEX_n: int64, AGE: int64, POS_n: int64, IO_n: int64] } }
models:
  mri: { file: \"${root}/examples/mri/models/mri_xgb.joblib\", shadow: forest, drift: { first: 1000, window: 500 } }
  forest: { file: \"${root}/examples/mri/models/mri_rf.joblib\" }
query: SELECT PNO, CAST(mri(*) AS DOUBLE) AS seconds FROM records
sinks: { out: { file: { path: out/, format: csv } } }
dead_letters: { file: { path: bad/, format: jsonl } }
trigger: continuous
http: { listen: \"127.0.0.1:0\" }
";

/// A file of orders, in which everybody is so much older.
fn put(sandbox: &Sandbox, name: &str, orders: usize, older: i64, more: &str) {
    let row = |at: usize| {
        let mut fields: Vec<String> = order(at).features.split(',').map(str::to_string).collect();
        fields[4] = (fields[4].parse::<i64>().unwrap() + older).to_string();
        format!("p{at},{}\n", fields.join(","))
    };
    let head = "PNO,ITEM_n,ORDERDR_n,DEPT_n,SEX_n,AGE,POS_n,IO_n\n".to_string();
    let text = head + &(0..orders).map(row).collect::<String>() + more;
    // It appears as a whole.
    let folder = sandbox.dir.path();
    std::fs::write(folder.join(name), text).unwrap();
    std::fs::create_dir_all(folder.join("in")).unwrap();
    std::fs::rename(folder.join(name), folder.join("in").join(name)).unwrap();
}

#[test]
fn the_page_shows_the_way_the_drift_the_challenger_and_the_latest_bad_records() {
    let sandbox = Sandbox::new("page");
    sandbox.pipeline(PIPELINE);
    put(&sandbox, "a.csv", 1_000, 0, "p_bad,4711x,1,1,1,1,1,1\n");
    let running = sandbox.start(&["run", "--workers", "1"]);
    let mut address = String::new();
    until("the address in the log", || {
        let log = running.log();
        let found = log.lines().find_map(|line| line.split_once("address="));
        address = found.map_or(String::new(), |(_, rest)| rest.split_whitespace().next().unwrap().to_string());
        !address.is_empty()
    });
    let browser = Browser::start();
    browser.screen((1280, 900), false);
    browser.open(&format!("http://{address}/"));
    let text = || browser.run("return document.body.innerText").as_str().unwrap().to_string();
    until("the first rows are the baseline", || text().contains("of 500 rows of the first window have come"));
    put(&sandbox, "b.csv", 600, 40, "");
    until("a column is far from it", || text().contains("far from the baseline"));
    until("the challenger has answered", || {
        let cell = browser.run("return document.querySelector('#shadow tr:nth-child(2) td:nth-child(3)')?.innerText");
        cell == "1,600"
    });

    let shown = text();
    for what in
        ["ready, running for", "The way of the data", "Drift of mri", "Challengers", "decode csv", "a.csv line 1002"]
    {
        assert!(shown.contains(what), "`{what}` is not on the page:\n{shown}");
    }
    assert!(!shown.contains("4711"), "no value of a record:\n{shown}");
    let far =
        browser.run("return [...document.querySelectorAll('#drift .far .name:first-child')].map((e) => e.innerText)");
    assert!(far.as_array().unwrap().contains(&Value::from("AGE")), "{far}");
    let bars = browser.run("return document.querySelectorAll('#drift .far svg rect').length").as_u64().unwrap();
    assert!(bars >= 20, "{bars}");

    // A model's card opens, and stays open while the page renews itself.
    browser.run("document.querySelector('#models details').open = true");
    let drawn = browser.run("window.mark = document.querySelector('#models details'); return true");
    assert_eq!(drawn, Value::from(true));
    until("the page renews itself", || browser.run("return !document.body.contains(window.mark)") == true);
    let card = browser.run("return document.querySelector('#models details[open] dl')?.innerText");
    let card = card.as_str().unwrap_or_else(|| panic!("the card has closed"));
    for what in ["XGBoost", "AGE (number)", "trees", "SHA-256"] {
        assert!(card.contains(what), "`{what}` is not on the card: {card}");
    }

    // Nothing sticks out on a phone, and text can be read on either ground.
    for (size, dark, name) in [
        ((390, 844), false, "phone"),
        ((390, 844), true, "phone-dark"),
        ((1280, 900), true, "desk-dark"),
        ((1280, 900), false, "desk"),
    ] {
        browser.screen(size, dark);
        let wide = browser.run("return document.documentElement.scrollWidth").as_u64().unwrap();
        assert!(wide <= u64::from(size.0), "{name}: {wide} wide");
        let contrast = browser.run(CONTRAST);
        assert!(contrast.as_f64().unwrap() >= 4.5, "{name}: contrast {contrast}");
        if let Ok(folder) = std::env::var("FORETELL_PICTURES") {
            browser.screen((size.0, 3_000), dark);
            std::fs::write(format!("{folder}/{name}.b64"), browser.picture()).unwrap();
        }
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
    running.terminate();
    running.ended(std::time::Duration::from_secs(60)).well();
}

/// The least contrast of a text with its ground, as WCAG reckons it.
const CONTRAST: &str = "
const channels = (color) => color.match(/[\\d.]+/g).map(Number);
const light = (color) => {
  const [r, g, b] = channels(color).map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const color = getComputedStyle(at).backgroundColor;
    const [, , , alpha = 1] = channels(color);
    if (alpha > 0) return color;
  }
  return 'rgb(255, 255, 255)';
};
let least = 21;
for (const element of document.querySelectorAll('h1, h2, p, div, td, th, dt, dd, summary, strong, a')) {
  if (![...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue;
  if (!element.offsetParent) continue;
  const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
  least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
}
return least;
";
