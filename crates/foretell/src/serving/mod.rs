//! Models that answer over HTTP: `POST /predict`, in JSON or Arrow, and KServe's protocol of version 2. The same model, the same numbers and
//! refusals as on a stream.

mod binary;
mod ipc;
mod predict;
mod rows;
mod v2;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use foretell_http::{Answer, Asked, Scoring};
use foretell_model::{Columns, Method, Model, Outputs};
use serde_json::{Value, json};

/// A model as it is served.
#[derive(Clone)]
pub(crate) struct Served {
    /// Of its file.
    pub(crate) sha256: String,
    /// Who holds the model.
    pub(crate) model: Arc<dyn AsRef<Model> + Send + Sync>,
}

impl Served {
    fn model(&self) -> &Model {
        (*self.model).as_ref()
    }

    /// What the model says, where it is asked for what it has.
    fn score(&self, columns: &rows::Rows, want: Method) -> Outputs {
        self.model().score(&Columns::new(&columns.columns, columns.count), want)
    }
}

/// Models by name.
#[derive(Default)]
pub(crate) struct Serving(RwLock<BTreeMap<String, Served>>);

impl Serving {
    /// Serves a model from now on; an earlier one of its name no longer.
    pub(crate) fn put(&self, name: &str, served: Served) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_string(), served);
    }

    fn get(&self, name: &str) -> Result<(String, Served), Problem> {
        let models = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let names = || models.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match models.get(name) {
            Some(served) => Ok((name.to_string(), served.clone())),
            None => Err(Problem { status: 404, message: format!("there is no model `{name}`: there are {}", names()) }),
        }
    }

    /// The only model, where none is named.
    fn only(&self) -> Result<(String, Served), Problem> {
        let models = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = models.iter();
        match (all.next(), all.next()) {
            (Some((name, served)), None) => Ok((name.clone(), served.clone())),
            _ => {
                let names: Vec<String> = models.keys().map(|name| format!("/predict/{name}")).collect();
                Err(Problem { status: 404, message: format!("name the model: {}", names.join(", ")) })
            }
        }
    }
}

/// Why there is no answer; no value of a row is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    status: u16,
    message: String,
}

impl Problem {
    fn bad(message: impl Into<String>) -> Problem {
        Problem { status: 400, message: message.into() }
    }
}

impl Scoring for Serving {
    fn answer(&self, asked: &Asked<'_>) -> Option<Answer> {
        let mut parts = asked.path.trim_matches('/').splitn(2, '/');
        let answered = match (parts.next()?, parts.next()) {
            ("predict", name) if asked.posts && asked.content_type.starts_with(ipc::CONTENT_TYPE) => {
                let found = name.map_or_else(|| self.only(), |name| self.get(name));
                match found.and_then(|(_, served)| ipc::answer(&served, asked.body)) {
                    Ok(body) => return Some(Answer { status: 200, content_type: ipc::CONTENT_TYPE, body }),
                    Err(problem) => Err(problem),
                }
            }
            ("predict", name) if asked.posts => {
                let found = name.map_or_else(|| self.only(), |name| self.get(name));
                found.and_then(|(name, served)| predict::answer(&name, &served, &json_of(asked.body)?))
            }
            ("predict", _) => Err(Problem { status: 405, message: "POST the rows".to_string() }),
            ("v2", rest) => v2::answer(self, rest.unwrap_or_default(), asked)?,
            _ => return None,
        };
        let (status, body) = match answered {
            Ok(body) => (200, body),
            Err(problem) => (problem.status, json!({ "error": problem.message })),
        };
        Some(Answer { status, content_type: "application/json", body: body.to_string().into_bytes() })
    }
}

fn json_of(body: &[u8]) -> Result<Value, Problem> {
    // Its own message may quote what was sent.
    serde_json::from_slice(body).map_err(|error| {
        Problem::bad(format!("the body is not JSON: line {}, column {}", error.line(), error.column()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Held(Model);

    impl AsRef<Model> for Held {
        fn as_ref(&self) -> &Model {
            &self.0
        }
    }

    pub(super) fn serving() -> Serving {
        let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../model/tests/contribs/xgboost-two.model"));
        let model = Model::load(&bytes.unwrap(), &foretell_model::LoadOptions::default()).unwrap();
        let serving = Serving::default();
        serving.put("risk", Served { sha256: "0".repeat(64), model: Arc::new(Held(model)) });
        serving
    }

    pub(super) fn post_as(serving: &Serving, path: &str, content_type: &str, body: &[u8]) -> Answer {
        serving.answer(&Asked { posts: true, path, content_type, json_length: None, body }).unwrap()
    }

    fn post(path: &str, body: &str) -> (u16, Value) {
        let answer = post_as(&serving(), path, "application/json", body.as_bytes());
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    fn get(path: &str) -> Option<(u16, Value)> {
        let asked = Asked { posts: false, path, content_type: "", json_length: None, body: b"" };
        serving().answer(&asked).map(|answer| (answer.status, serde_json::from_slice(&answer.body).unwrap()))
    }

    pub(super) const ROW: &str =
        r#"{"age": 28, "dept": 10, "dose": 0.73306656, "sex": true, "weight": 49.2, "name": "not asked for"}"#;

    #[test]
    fn one_row_or_many_by_name_or_in_order_give_the_same() {
        let (status, one) = post("/predict", ROW);
        assert_eq!(status, 200, "{one}");
        let prediction = one["predictions"][0].as_f64().unwrap();
        for body in [
            format!("[{ROW}]"),
            format!("{{\"rows\": [{ROW}]}}"),
            "[[28, 10, 0.73306656, 1, 49.2]]".to_string(),
            r#"{"columns": {"age": [28], "dept": [10], "dose": [0.73306656], "sex": [1], "weight": [49.2]}}"#
                .to_string(),
        ] {
            let (status, many) = post("/predict/risk", &body);
            assert_eq!((status, many["predictions"][0].as_f64()), (200, Some(prediction)), "{body}: {many}");
            assert_eq!((many["model"].as_str(), many["sha256"].as_str().map(str::len)), (Some("risk"), Some(64)));
        }
        let missing = post("/predict", &ROW.replace("28", "null"));
        assert_eq!(missing.0, 200, "a missing value is the model's to judge");
        assert_eq!(post("/predict", "[]").1["predictions"], json!([]));
    }

    #[test]
    fn what_is_wrong_is_told_without_values() {
        for (path, body, status, told) in [
            ("/predict/rsk", ROW, 404, "there is no model `rsk`: there are `risk`"),
            ("/predict", "{", 400, "the body is not JSON: line 1, column 1"),
            ("/predict", "7", 400, "rows are needed"),
            ("/predict", r#"[{"age": 1}]"#, 400, "row 0: `dept` is missing"),
            ("/predict", &ROW.replace("28", "\"secret\""), 400, "row 0: `age`: a number is needed, and not a text"),
            ("/predict", "[[1, 2]]", 400, "row 0 has 2 values, and the model takes 5"),
            ("/v2/models/risk/infer", "{}", 400, "`inputs` is missing"),
        ] {
            let (found, answer) = post(path, body);
            let error = answer["error"].as_str().unwrap();
            assert!(found == status && error.contains(told) && !error.contains("secret"), "{body}: {found} {error}");
        }
        let beyond = post("/predict", &ROW.replace("28", "1e999"));
        assert_eq!(beyond.0, 400, "no number becomes a missing value: {}", beyond.1);
        assert_eq!(get("/elsewhere"), None);
    }

    #[test]
    fn the_protocol_of_kserve_is_spoken() {
        assert_eq!(get("/v2/health/ready").unwrap().0, 200);
        assert_eq!(get("/v2/models/risk/ready").unwrap().0, 200);
        assert_eq!(get("/v2/models/other/ready").unwrap().0, 404);
        let (_, model) = get("/v2/models/risk").unwrap();
        assert_eq!(model["inputs"].as_array().unwrap().len(), 5, "{model}");
        assert_eq!(model["inputs"][0], json!({ "name": "age", "datatype": "FP64", "shape": [-1] }));
        let expected = post("/predict", &format!("[{ROW}, {ROW}]")).1["predictions"].clone();
        let column = |name: &str, value: f64| json!({ "name": name, "shape": [2, 1], "datatype": "FP64", "data": [value, value] });
        let columns = json!({ "id": "7", "inputs": [
            column("weight", 49.2), column("sex", 1.0), column("dose", 0.73306656), column("dept", 10.0), column("age", 28.0),
        ]});
        let tensor = json!({ "inputs": [{
            "name": "x", "shape": [2, 5], "datatype": "FP64",
            "data": [28.0, 10.0, 0.73306656, 1.0, 49.2, 28.0, 10.0, 0.73306656, 1.0, 49.2],
        }]});
        for body in [&columns, &tensor] {
            let (status, answer) = post("/v2/models/risk/infer", &body.to_string());
            assert_eq!(status, 200, "{answer}");
            assert_eq!(answer["outputs"][0]["data"], expected);
            assert_eq!(answer["outputs"][0]["shape"], json!([2]));
        }
        assert_eq!(post("/v2/models/risk/infer", &columns.to_string()).1["id"], "7");

        // Values as bytes behind the JSON, as Triton's clients send them.
        let values = [28.0f64, 10.0, 0.73306656, 1.0, 49.2];
        let size = json!({ "binary_data_size": 80 });
        let head =
            json!({ "inputs": [{ "name": "x", "shape": [2, 5], "datatype": "FP64", "parameters": size }] }).to_string();
        let bytes: Vec<u8> = values.iter().chain(&values).flat_map(|value| value.to_le_bytes()).collect();
        let infer = |head: &str, bytes: &[u8], length: usize| {
            let body = [head.as_bytes(), bytes].concat();
            let asked = Asked {
                posts: true,
                path: "/v2/models/risk/infer",
                content_type: "application/octet-stream",
                json_length: Some(length),
                body: &body,
            };
            let answer = serving().answer(&asked).unwrap();
            (answer.status, serde_json::from_slice::<Value>(&answer.body).unwrap())
        };
        let (status, answer) = infer(&head, &bytes, head.len());
        assert_eq!((status, &answer["outputs"][0]["data"]), (200, &expected), "{answer}");
        for (head, bytes, length, told) in [
            (head.clone(), &bytes[..79], head.len(), "`x`: its bytes are not all there"),
            (head.replace("80", "8"), &bytes[..], head.len() - 1, "`x`: `shape` is not that of 1 values"),
            (head.replace("FP64", "FP16"), &bytes[..], head.len(), "`x`: bytes of FP16 are not taken"),
            (head.clone(), &bytes[..], 10_000, "longer than the body"),
        ] {
            let (status, answer) = infer(&head, bytes, length);
            assert!(status == 400 && answer["error"].as_str().unwrap().contains(told), "{answer}");
        }
    }
}
