//! The shortest circles of a directed graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Returns each circle once, as its nodes in order, the smallest first: for every node the shortest circle through it.
pub(super) fn shortest_circles(arrows: &BTreeMap<usize, BTreeSet<usize>>) -> BTreeSet<Vec<usize>> {
    let mut circles = BTreeSet::new();
    for &node in arrows.keys() {
        if let Some(mut circle) = shortest_through(node, arrows) {
            let smallest = (0..circle.len())
                .min_by_key(|&at| circle[at])
                .unwrap_or_default();
            circle.rotate_left(smallest);
            circles.insert(circle);
        }
    }
    circles
}

fn shortest_through(node: usize, arrows: &BTreeMap<usize, BTreeSet<usize>>) -> Option<Vec<usize>> {
    let mut reached_from = BTreeMap::new();
    let mut queue = VecDeque::from([node]);
    while let Some(at) = queue.pop_front() {
        for &next in arrows.get(&at).into_iter().flatten() {
            if next == node {
                let mut circle = vec![at];
                let mut back = at;
                while back != node {
                    back = reached_from[&back];
                    circle.push(back);
                }
                circle.reverse();
                return Some(circle);
            }
            reached_from.entry(next).or_insert_with(|| {
                queue.push_back(next);
                at
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(arrows: &[(usize, usize)]) -> Vec<Vec<usize>> {
        let mut graph: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (from, to) in arrows {
            graph.entry(*from).or_default().insert(*to);
        }
        shortest_circles(&graph).into_iter().collect()
    }

    #[test]
    fn each_circle_is_found_once_and_at_its_shortest() {
        assert_eq!(
            circles(&[(2, 1), (1, 3), (3, 2), (3, 4), (4, 3)]),
            [vec![1, 3, 2], vec![3, 4]]
        );
    }

    #[test]
    fn a_graph_without_circles_has_none() {
        assert!(circles(&[(1, 2), (1, 3), (2, 4), (3, 4)]).is_empty());
    }
}
