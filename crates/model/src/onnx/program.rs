//! A graph as it is run: operators in their order over numbered values.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "values were numbered while loading")]

use std::collections::HashMap;
use std::sync::Arc;

use super::SUPPORTED;
use super::ops::{self, Classes, Kernel};
use super::proto::{Graph, Node};
use super::tensor::{Context, Data, Fault, Kind, Tensor};
use crate::{Error, TreesReport};

/// An operator that was compiled.
struct Step {
    place: String,
    op: String,
    kernel: Kernel,
    inputs: Vec<Option<usize>>,
    outputs: Vec<Option<usize>>,
    /// Values that nothing needs any more.
    drops: Vec<usize>,
    trees: Option<TreesReport>,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("place", &self.place).finish_non_exhaustive()
    }
}

/// An input of the graph.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// How many columns it has; `None` where the file does not tell.
    pub(super) width: Option<usize>,
    /// Whether it is a list and not a table.
    pub(super) is_list: bool,
}

/// A graph, ready to be run.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) inputs: Vec<Input>,
    /// Where each input goes.
    places: Vec<usize>,
    /// Values of a graph around it that it uses: where they are there, and here.
    captured: Vec<(usize, usize)>,
    constants: Vec<(usize, Arc<Tensor>)>,
    steps: Vec<Step>,
    slots: usize,
    /// Names and places.
    pub(super) outputs: Vec<(String, usize)>,
    /// The classes that some operator tells, the last of them.
    pub(super) classes: Option<Classes>,
    /// Whether some operator answers what a model is asked.
    pub(super) predicts: bool,
    /// Bytes that the operators hold, and values that are constants.
    pub(super) bytes: usize,
    pub(super) values: usize,
}

/// An operator that failed, and why.
pub(super) type Failure = (String, Fault);

/// The version of each domain's operators.
pub(super) type Versions<'v> = &'v dyn Fn(&str) -> i64;

/// What is being put together.
struct Builder<'b, 'a> {
    names: HashMap<&'a str, usize>,
    outer: Option<&'b HashMap<&'a str, usize>>,
    program: Program,
    /// Constants by their places, for what looks at them while loading.
    known: HashMap<usize, Arc<Tensor>>,
}

impl<'a> Builder<'_, 'a> {
    fn slot(&mut self, name: &'a str) -> Result<usize, Error> {
        let slot = self.program.slots;
        if self.names.insert(name, slot).is_some() {
            return Err(Error::state("", format!("`{name}` is given twice")));
        }
        self.program.slots += 1;
        Ok(slot)
    }

    fn constant(&mut self, slot: usize, tensor: Tensor) {
        self.program.values += tensor.data.len();
        let tensor = Arc::new(tensor);
        self.known.insert(slot, tensor.clone());
        self.program.constants.push((slot, tensor));
    }

    /// The place of a value that is used.
    fn find(&mut self, name: &'a str, place: &str) -> Result<usize, Error> {
        if let Some(slot) = self.names.get(name) {
            return Ok(*slot);
        }
        let Some(outer) = self.outer.and_then(|outer| outer.get(name).copied()) else {
            return Err(Error::state(place, format!("nothing before it gives `{name}`")));
        };
        let slot = self.slot(name)?;
        self.program.captured.push((outer, slot));
        Ok(slot)
    }

    fn step(&mut self, node: &Node<'a>, versions: Versions<'_>) -> Result<(), Error> {
        let compiled = match (node.domain, node.op) {
            ("", "Scan") if self.outer.is_none() => scan(self, node, versions)?,
            ("", "If") if self.outer.is_none() => branch(self, node, versions)?,
            _ => {
                let inputs: Vec<Option<usize>> = node
                    .inputs
                    .iter()
                    .map(|name| if name.is_empty() { Ok(None) } else { self.find(name, &node.place).map(Some) })
                    .collect::<Result<_, Error>>()?;
                (ops::compile(node, versions(node.domain))?, inputs)
            }
        };
        let (compiled, inputs) = compiled;
        let mut outputs = Vec::with_capacity(node.outputs.len());
        for name in &node.outputs {
            outputs.push(if name.is_empty() { None } else { Some(self.slot(name)?) });
        }
        let program = &mut self.program;
        // What picks labels by their positions knows all of them.
        let labels = (node.op == "ArrayFeatureExtractor").then(|| inputs.first().copied().flatten()).flatten();
        let labels = labels.and_then(|slot| self.known.get(&slot)).and_then(|tensor| Classes::among(tensor));
        if let Some(classes) = compiled.classes.or(labels) {
            program.classes = Some(classes);
        }
        program.predicts |= compiled.predicts;
        program.bytes = program.bytes.saturating_add(compiled.bytes);
        program.steps.push(Step {
            place: node.place.clone(),
            op: node.op.to_string(),
            kernel: compiled.kernel,
            inputs,
            outputs,
            drops: Vec::new(),
            trees: compiled.trees,
        });
        Ok(())
    }
}

impl Program {
    pub(super) fn new(graph: Graph<'_>, versions: Versions<'_>) -> Result<Program, Error> {
        build(graph, versions, None)
    }

    /// The operators in their order: what they are called, and the trees in them.
    pub(super) fn operators(&self) -> impl Iterator<Item = (&str, Option<&TreesReport>)> {
        self.steps.iter().map(|step| (step.op.as_str(), step.trees.as_ref()))
    }

    pub(super) fn holds(&self) -> usize {
        let constants: usize = self.constants.iter().map(|(_, tensor)| tensor.data.len() * size_of::<f64>()).sum();
        self.bytes.saturating_add(constants)
    }

    /// Runs it on its inputs, and the values that it uses of a graph around it.
    pub(super) fn run(
        &self,
        inputs: Vec<Arc<Tensor>>,
        around: &[Arc<Tensor>],
        context: &Context,
    ) -> Result<Vec<Arc<Tensor>>, Failure> {
        let mut slots: Vec<Option<Arc<Tensor>>> = vec![None; self.slots];
        self.constants.iter().for_each(|(slot, tensor)| slots[*slot] = Some(tensor.clone()));
        self.places.iter().zip(inputs).for_each(|(slot, tensor)| slots[*slot] = Some(tensor));
        self.captured.iter().zip(around).for_each(|((_, slot), tensor)| slots[*slot] = Some(tensor.clone()));
        for step in &self.steps {
            let given: Vec<Option<&Tensor>> =
                step.inputs.iter().map(|slot| slot.and_then(|slot| slots[slot].as_deref())).collect();
            // Each operator costs something, however little it gives.
            let made = context.charge(1).and_then(|()| (step.kernel)(&given, context));
            let made = made.map_err(|fault| (step.place.clone(), fault))?;
            if made.len() < step.outputs.iter().filter(|slot| slot.is_some()).count() {
                return Err((step.place.clone(), Fault::Absent));
            }
            for (slot, tensor) in step.outputs.iter().zip(made) {
                slot.iter().for_each(|slot| slots[*slot] = Some(Arc::new(tensor.clone())));
            }
            step.drops.iter().for_each(|slot| slots[*slot] = None);
        }
        let output = |(name, slot): &(String, usize)| {
            slots[*slot].clone().ok_or_else(|| (format!("output `{name}`"), Fault::Absent))
        };
        self.outputs.iter().map(output).collect()
    }
}

fn build<'a>(
    graph: Graph<'a>,
    versions: Versions<'_>,
    outer: Option<&HashMap<&'a str, usize>>,
) -> Result<Program, Error> {
    let program = Program {
        inputs: Vec::new(),
        places: Vec::new(),
        captured: Vec::new(),
        constants: Vec::new(),
        steps: Vec::new(),
        slots: 0,
        outputs: Vec::new(),
        classes: None,
        predicts: false,
        bytes: 0,
        values: 0,
    };
    let mut builder = Builder { names: HashMap::new(), outer, program, known: HashMap::new() };
    for (name, tensor) in graph.constants {
        let slot = builder.slot(name)?;
        builder.constant(slot, tensor);
    }
    for input in graph.inputs {
        // Old files list constants among the inputs, too.
        if builder.names.contains_key(input.name) {
            continue;
        }
        let slot = builder.slot(input.name)?;
        let is_body = outer.is_some();
        let Some(kind) = input.kind.or(is_body.then_some(Kind::F32)) else {
            let what = format!("input `{}`", input.name);
            return Err(Error::unsupported("", what, "tensors of numbers, bools or texts"));
        };
        let dims = input.dims.unwrap_or_default();
        if dims.len() > 2 && !is_body {
            let what = format!("input `{}` of {} dimensions", input.name, dims.len());
            return Err(Error::unsupported(
                "",
                what,
                "tables and columns; images and sequences are for neural networks",
            ));
        }
        let width = if dims.len() == 2 { dims.get(1).copied().flatten() } else { (dims.len() == 1).then_some(1) };
        builder.program.inputs.push(Input { name: input.name.to_string(), kind, width, is_list: dims.len() == 1 });
        builder.program.places.push(slot);
    }
    for node in &graph.nodes {
        builder.step(node, versions)?;
    }
    for output in &graph.outputs {
        let slot = builder.find(output.name, "outputs")?;
        builder.program.outputs.push((output.name.to_string(), slot));
    }
    let mut program = builder.program;
    let mut last: HashMap<usize, usize> = HashMap::new();
    for (at, step) in program.steps.iter().enumerate() {
        step.inputs.iter().chain(&step.outputs).flatten().for_each(|slot| {
            last.insert(*slot, at);
        });
    }
    for (slot, at) in last {
        if program.outputs.iter().all(|(_, output)| *output != slot) {
            program.steps[at].drops.push(slot);
        }
    }
    Ok(program)
}

/// A graph inside, run once for each slice along the first axis of its inputs.
fn scan<'a>(
    builder: &mut Builder<'_, 'a>,
    node: &Node<'a>,
    versions: Versions<'_>,
) -> Result<(ops::Compiled, Vec<Option<usize>>), Error> {
    let body = node.graph("body")?.ok_or_else(|| node.error("it has no body"))?;
    let forward = ["scan_input_axes", "scan_output_axes", "scan_input_directions", "scan_output_directions"];
    if versions("") < 9 || forward.iter().any(|name| node.ints(name).iter().any(|one| *one != 0)) {
        return Err(Error::unsupported(node.place.clone(), "Scan along other axes than the first", SUPPORTED));
    }
    let scanned = usize::try_from(node.int("num_scan_inputs", 0)).unwrap_or(0);
    let program = build(body, versions, Some(&builder.names))?;
    let given = node.inputs.len();
    if program.inputs.len() != given || scanned == 0 || scanned > given {
        return Err(node.error(format!("its body takes {} inputs and is given {given}", program.inputs.len())));
    }
    let states = given - scanned;
    if program.outputs.len() < states || program.outputs.len() != node.outputs.len() {
        return Err(node.error(format!("its body gives {} outputs", program.outputs.len())));
    }
    let mut inputs = Vec::with_capacity(given + program.captured.len());
    for name in &node.inputs {
        inputs.push(Some(builder.find(name, &node.place)?));
    }
    inputs.extend(program.captured.iter().map(|(outer, _)| Some(*outer)));
    builder.program.bytes = builder.program.bytes.saturating_add(program.holds());
    builder.program.values = builder.program.values.saturating_add(program.values);
    let kernel = move |inputs: &[Option<&Tensor>], context: &Context| -> ops::Outcome {
        let all: Vec<&Tensor> = inputs.iter().copied().collect::<Option<_>>().ok_or(Fault::Absent)?;
        let (own, around) = all.split_at(given);
        let around: Vec<Arc<Tensor>> = around.iter().map(|tensor| Arc::new((*tensor).clone())).collect();
        let mut states_now: Vec<Arc<Tensor>> = own[..states].iter().map(|tensor| Arc::new((*tensor).clone())).collect();
        let length = *own[states].shape.first().ok_or(Fault::Shape)?;
        let mut made: Vec<Option<Tensor>> = vec![None; program.outputs.len() - states];
        for at in 0..length {
            let mut given = states_now.clone();
            for tensor in &own[states..] {
                let (first, rest) = tensor.shape.split_first().ok_or(Fault::Shape)?;
                if *first != length {
                    return Err(Fault::Shape);
                }
                let size: usize = rest.iter().product();
                let data = tensor.data.pick(at * size..(at + 1) * size);
                context.charge(size)?;
                given.push(Arc::new(Tensor { shape: rest.to_vec(), data }));
            }
            let mut told = program.run(given, &around, context).map_err(|(_, fault)| fault)?;
            let slices = told.split_off(states);
            states_now = told;
            for (made, slice) in made.iter_mut().zip(slices) {
                match made {
                    Some(made) if made.shape.get(1..) == Some(&slice.shape) => {
                        made.data.append(&slice.data)?;
                        made.shape[0] += 1;
                    }
                    Some(_) => return Err(Fault::Shape),
                    None => {
                        let shape = [&[1], slice.shape.as_slice()].concat();
                        *made = Some(Tensor { shape, data: slice.data.clone() });
                    }
                }
            }
        }
        let states = states_now.into_iter().map(|tensor| (*tensor).clone());
        let made: Vec<Tensor> = made.into_iter().collect::<Option<_>>().ok_or(Fault::Shape)?;
        Ok(states.chain(made).collect())
    };
    let compiled = ops::Compiled { kernel: Box::new(kernel), classes: None, trees: None, bytes: 0, predicts: false };
    Ok((compiled, inputs))
}

/// One of two graphs, as a single condition says.
fn branch<'a>(
    builder: &mut Builder<'_, 'a>,
    node: &Node<'a>,
    versions: Versions<'_>,
) -> Result<(ops::Compiled, Vec<Option<usize>>), Error> {
    let mut programs = Vec::new();
    for name in ["then_branch", "else_branch"] {
        let graph = node.graph(name)?.ok_or_else(|| node.error(format!("it has no {name}")))?;
        let program = build(graph, versions, Some(&builder.names))?;
        if !program.inputs.is_empty() || program.outputs.len() != node.outputs.len() {
            return Err(node.error(format!("its {name} gives {} outputs", program.outputs.len())));
        }
        builder.program.bytes = builder.program.bytes.saturating_add(program.holds());
        builder.program.values = builder.program.values.saturating_add(program.values);
        programs.push(program);
    }
    let [condition] = node.inputs.as_slice() else { return Err(node.error("it has not one condition")) };
    let mut inputs = vec![Some(builder.find(condition, &node.place)?)];
    inputs.extend(programs.iter().flat_map(|program| &program.captured).map(|(outer, _)| Some(*outer)));
    let predicts = programs.iter().any(|program| program.predicts);
    let classes = programs.iter().find_map(|program| program.classes.clone());
    let kernel = move |inputs: &[Option<&Tensor>], context: &Context| -> ops::Outcome {
        let all: Vec<&Tensor> = inputs.iter().copied().collect::<Option<_>>().ok_or(Fault::Absent)?;
        let (condition, around) = all.split_first().ok_or(Fault::Absent)?;
        let Data::Bool(condition) = &condition.data else { return Err(Fault::Type) };
        let [condition] = condition.as_slice() else { return Err(Fault::Shape) };
        let [then, otherwise] = programs.as_slice() else { return Err(Fault::Absent) };
        let (of_then, of_otherwise) = around.split_at(then.captured.len());
        let (program, around) = if *condition { (then, of_then) } else { (otherwise, of_otherwise) };
        let around: Vec<Arc<Tensor>> = around.iter().map(|tensor| Arc::new((*tensor).clone())).collect();
        let told = program.run(Vec::new(), &around, context).map_err(|(_, fault)| fault)?;
        Ok(told.iter().map(|tensor| (**tensor).clone()).collect())
    };
    Ok((ops::Compiled { kernel: Box::new(kernel), classes, trees: None, bytes: 0, predicts }, inputs))
}
