//! Breadth first: every state within the bounds, the nearest first. A state is remembered by its
//! fingerprint, and how it was reached by the state before it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use crate::actions::Action;
use crate::fingerprint::fingerprint;
use crate::properties;
use crate::world::{Scenario, World};

/// What a search found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Different states reached.
    pub(crate) states: usize,
    /// The longest way to any of them, in actions.
    pub(crate) depth: usize,
    /// A shortest way to a broken law.
    pub(crate) breach: Option<Breach>,
}

/// A law broken, and how.
#[derive(Debug)]
pub(crate) struct Breach {
    pub(crate) law: String,
    pub(crate) actions: Vec<Action>,
}

/// Looks at every state that can be reached, until a law is broken.
///
/// # Panics
///
/// When there are more states than `states_max`: a search that was cut short shows nothing.
pub(crate) fn explore(scenario: &Scenario, states_max: usize) -> Found {
    let first = scenario.world();
    let root = fingerprint(&first);
    // How each state was reached: from which state, and by which of its actions.
    let mut reached: HashMap<u64, (u64, u16)> = HashMap::from([(root, (root, 0))]);
    let mut frontier = VecDeque::from([(first, root, 0)]);
    let mut deepest = 0;
    while let Some((world, print, depth)) = frontier.pop_front() {
        deepest = deepest.max(depth);
        for (number, action) in world.actions(scenario).into_iter().enumerate() {
            let mut next = world.after(scenario, action);
            let next_print = fingerprint(&next);
            let Entry::Vacant(vacant) = reached.entry(next_print) else { continue };
            vacant.insert((print, u16::try_from(number).expect("few actions")));
            properties::reopens(&mut next, scenario);
            if let Some(law) = next.broken.clone() {
                let actions = way_to(scenario, &reached, root, next_print);
                let breach = Some(Breach { law, actions });
                return Found { states: reached.len(), depth: depth + 1, breach };
            }
            frontier.push_back((next, next_print, depth + 1));
        }
        assert!(
            reached.len() <= states_max,
            "{}: more than {states_max} states, {} waiting, depth {depth}",
            scenario.name,
            frontier.len()
        );
    }
    Found { states: reached.len(), depth: deepest, breach: None }
}

/// The actions that lead to a state.
fn way_to(
    scenario: &Scenario,
    reached: &HashMap<u64, (u64, u16)>,
    root: u64,
    end: u64,
) -> Vec<Action> {
    let mut numbers = Vec::new();
    let mut print = end;
    while print != root {
        let (before, number) = reached[&print];
        numbers.push(number);
        print = before;
    }
    let mut world: World = scenario.world();
    let mut actions = Vec::new();
    for number in numbers.into_iter().rev() {
        let action = world.actions(scenario)[usize::from(number)];
        world = world.after(scenario, action);
        actions.push(action);
    }
    actions
}
