//! The example's orders and what Python predicts for them.

use std::sync::LazyLock;

/// One order.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The patient's number.
    pub(crate) pno: String,
    /// The seven features as CSV.
    pub(crate) features: String,
    /// What XGBoost says, in minutes.
    pub(crate) minutes: String,
    /// What XGBoost says in seconds, shortest text.
    pub(crate) xgb: String,
    /// What the random forest says in seconds, shortest text.
    pub(crate) rf: String,
}

/// All 200.
pub(crate) static ORDERS: LazyLock<Vec<Order>> = LazyLock::new(|| {
    let read = |name: &str| std::fs::read_to_string(super::root().join("examples/mri").join(name)).unwrap();
    let (orders, expected) = (read("orders.csv"), read("expected.csv"));
    let pairs = orders.lines().zip(expected.lines()).skip(1);
    let all: Vec<Order> = pairs
        .map(|(order, expected)| {
            let (pno, features) = order.split_once(',').unwrap();
            let [known, xgb, _, rf, _, minutes] = expected.split(',').collect::<Vec<_>>()[..] else { panic!() };
            assert_eq!(pno, known, "orders.csv and expected.csv have the same order");
            let text = str::to_string;
            Order { pno: text(pno), features: text(features), minutes: text(minutes), xgb: text(xgb), rf: text(rf) }
        })
        .collect();
    assert_eq!(all.len(), 200);
    all
});

/// The order that the made-up patient `number` has.
pub(crate) fn order(number: usize) -> &'static Order {
    &ORDERS[number % ORDERS.len()]
}
