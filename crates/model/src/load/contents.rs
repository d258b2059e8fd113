//! What a pickle file holds: one value, or several that were written one after the other.

use foretell_pickle::{Container, Document, ErrorKind, View};

use super::at::{Candidates, candidates, inside, walk};
use super::roles::Role;
use super::unpickle;
use crate::options::LoadOptions;
use crate::{Error, families};

/// Pickles in one file, each of which keeps a copy of what follows it: more than anybody writes by hand.
const PICKLES: usize = 8;

/// The values of a file.
pub(crate) struct Contents {
    documents: Vec<Document>,
}

/// What is to be scored of a file: estimators, each of which is given what the one before it makes.
pub(crate) struct Chosen<'a> {
    pub(crate) links: Vec<Link<'a>>,
    /// What the user should know of the choice.
    pub(crate) note: Option<String>,
}

/// One estimator, and the path to it.
pub(crate) struct Link<'a> {
    pub(crate) view: View<'a>,
    pub(crate) path: String,
}

impl Contents {
    /// Reads a file, and what follows the first pickle in it.
    pub(crate) fn read(bytes: &[u8], options: &LoadOptions) -> Result<Contents, Error> {
        let mut documents = vec![unpickle(bytes, options)?];
        while let Some(rest) = documents.last().map(Document::rest).filter(|_| documents.len() < PICKLES) {
            if Container::sniff(rest) != Some(Container::Plain) {
                break;
            }
            match foretell_pickle::read(rest.to_vec(), families::allow(), &options.limits) {
                Ok(next) => documents.push(next),
                Err(error) if matches!(error.kind, ErrorKind::Global { .. }) => return Err(error.into()),
                // Python does not look at what follows a pickle, whatever it is.
                Err(_) => break,
            }
        }
        Ok(Contents { documents })
    }

    /// Bytes of the file, unpacked.
    pub(crate) fn size(&self) -> usize {
        self.documents.first().map_or(0, Document::unpacked_len)
    }

    /// The value at a path. Of several pickles the first step is the place of one: `[1]`.
    fn walk(&self, path: &str) -> Result<View<'_>, Error> {
        let [only] = self.documents.as_slice() else {
            let (place, rest) = path.strip_prefix('[').and_then(|rest| rest.split_once(']')).unwrap_or((path, ""));
            let document = place.parse().ok().and_then(|place: usize| self.documents.get(place));
            let Some(document) = document else {
                let count = self.documents.len();
                let message = format!(
                    "`{path}`: the file holds {count} pickles, one after the other: begin the path with the place of one, `[0]` to \
                     `[{}]`",
                    count.saturating_sub(1)
                );
                return Err(Error::At { message });
            };
            let root = document.root();
            return if rest.is_empty() { Ok(root) } else { walk(root, rest.strip_prefix('.').unwrap_or(rest)) };
        };
        walk(only.root(), path)
    }

    /// What one path leads to; without any what the only pickle holds.
    pub(crate) fn value(&self, at: &[String]) -> Result<Option<View<'_>>, Error> {
        match (at, self.documents.as_slice()) {
            ([], [only]) => Ok(Some(only.root())),
            ([path], _) => self.walk(path).map(Some),
            _ => Ok(None),
        }
    }

    /// The estimators in the file, each with its path.
    fn candidates(&self) -> Result<Candidates, Error> {
        self.each(candidates)
    }

    /// The estimators in the attributes of objects that are none.
    fn inside(&self) -> Result<Candidates, Error> {
        self.each(inside)
    }

    /// What a search finds in the file, whose paths begin with the place of the pickle where there are several.
    fn each(&self, search: impl Fn(&View<'_>, String) -> Result<Candidates, Error>) -> Result<Candidates, Error> {
        let [only] = self.documents.as_slice() else {
            let mut all = Candidates::default();
            for (place, document) in self.documents.iter().enumerate() {
                all.add(search(&document.root(), format!("[{place}]"))?);
            }
            return Ok(all);
        };
        search(&only.root(), String::new())
    }

    /// What the paths lead to; without any the only model, or a transformer and the model that can only be meant together.
    pub(crate) fn choose(&self, at: &[String], options: &LoadOptions) -> Result<Chosen<'_>, Error> {
        if !at.is_empty() {
            let link = |path: &String| Ok(Link { view: self.walk(path)?, path: path.clone() });
            let links = at.iter().map(link).collect::<Result<Vec<_>, Error>>()?;
            let note = self.beside(at, options)?;
            return Ok(Chosen { links, note });
        }
        let one = |view, path| Chosen { links: vec![Link { view, path }], note: None };
        if let [only] = self.documents.as_slice()
            && only.root().class().is_some()
        {
            return Ok(one(only.root(), String::new()));
        }
        let found = self.candidates()?;
        match found.paths.as_slice() {
            [] => {
                let holds = match self.documents.as_slice() {
                    [only] => only.root().describe(),
                    several => format!("{} pickles", several.len()),
                };
                let own = self.inside()?;
                let message = match own.paths.is_empty() {
                    true => format!("the file holds {holds}, and no model in it"),
                    false => format!(
                        "the file holds {holds} with objects of code of its own, and nothing in a model file is run; inside of them \
                         `at` can name: {}",
                        own.listed()
                    ),
                };
                Err(Error::At { message })
            }
            [(only, _)] => Ok(one(self.walk(only)?, only.clone())),
            _ => self.together(&found, options),
        }
    }

    /// Of several estimators the two that can only be meant together.
    fn together(&self, found: &Candidates, options: &LoadOptions) -> Result<Chosen<'_>, Error> {
        let pair = self.pair(found, options)?;
        if let ([_], Some((first, last, true))) = (self.documents.as_slice(), &pair) {
            let note = format!(
                "the file holds a transformer beside the model: scored as the chain `{first}+{last}`; `at` can name the model alone, \
                 `{last}`"
            );
            let link = |path: &String| Ok(Link { view: self.walk(path)?, path: path.clone() });
            let links = [first, last].into_iter().map(link).collect::<Result<Vec<_>, Error>>()?;
            return Ok(Chosen { links, note: Some(note) });
        }
        let holds = match self.documents.as_slice() {
            [_] => "several objects".to_string(),
            several => format!("{} pickles, one after the other", several.len()),
        };
        let chain = pair.map(|(first, last, _)| format!("; or a chain of them: `{first}+{last}`")).unwrap_or_default();
        let message = format!("the file holds {holds}; give one as `at`: {}{chain}", found.listed());
        Err(Error::At { message })
    }

    /// A transformer and a model that takes as many columns as it makes, where there is one of each; and whether the model
    /// knows no names, as one does that was trained on what a transformer made.
    fn pair(&self, found: &Candidates, options: &LoadOptions) -> Result<Option<(String, String, bool)>, Error> {
        let (mut transformers, mut models) = (Vec::new(), Vec::new());
        for (path, _) in found.few() {
            match Role::of(&self.walk(path)?, options) {
                Role::Transforms { columns } => transformers.push((path, columns)),
                Role::Predicts { columns, named } => models.push((path, columns, named)),
                Role::Other => {}
            }
        }
        Ok(match (transformers.as_slice(), models.as_slice()) {
            ([(first, made)], [(last, taken, named)]) if made == taken => {
                Some(((*first).clone(), (*last).clone(), !named))
            }
            _ => None,
        })
    }

    /// What is told of transformers that stand beside the model and are not applied.
    fn beside(&self, at: &[String], options: &LoadOptions) -> Result<Option<String>, Error> {
        let [only] = at else { return Ok(None) };
        let found = self.candidates()?;
        let Role::Predicts { columns, .. } = Role::of(&self.walk(only)?, options) else { return Ok(None) };
        for (path, class) in found.few().filter(|(path, _)| path != only) {
            let Role::Transforms { columns: made } = Role::of(&self.walk(path)?, options) else { continue };
            let class = class.rsplit('.').next().unwrap_or(class);
            let chain = if made == columns { format!(": `{path}+{only}` chains them") } else { String::new() };
            return Ok(Some(format!(
                "the file holds `{path}` ({class}) beside the model, which is not applied{chain}"
            )));
        }
        Ok(None)
    }
}
