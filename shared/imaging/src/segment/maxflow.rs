//! Minimum cut on an 8-connected pixel grid.
//!
//! Boykov and Kolmogorov, "An Experimental Comparison of Min-Cut/Max-Flow Algorithms for
//! Energy Minimization in Vision", 2004: two search trees grown from the terminals, paths
//! augmented where they meet, orphans adopted again, with the time stamp and distance marks of
//! section 3.2. Nodes and arcs are implicit, so a pixel costs 8 capacities and 10 bytes of
//! tree.

use std::collections::VecDeque;

/// Steps to the 8 neighbours; the opposite of direction `d` is `d ^ 1`.
pub(crate) const STEPS: [(i32, i32); 8] =
    [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)];

const TERMINAL: u8 = 8;
const ORPHAN: u8 = 9;
const NONE: u8 = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tree {
    Free,
    Source,
    Sink,
}

/// A flow network over `width` x `height` pixels, source = foreground, sink = background.
pub(crate) struct Grid {
    width: usize,
    stride: usize,
    /// Residual capacity of the arc from a pixel in each direction, one pixel of padding on
    /// every side so that no arc leaves the arrays.
    arcs: Vec<[i32; 8]>,
    /// Residual capacity to a terminal: positive from the source, negative to the sink.
    terminal: Vec<i32>,
    tree: Vec<Tree>,
    parent: Vec<u8>,
    stamp: Vec<u32>,
    depth: Vec<u32>,
    queued: Vec<bool>,
    active: VecDeque<usize>,
    orphans: VecDeque<usize>,
    offsets: [isize; 8],
    time: u32,
}

impl Grid {
    /// A network without any capacity.
    pub(crate) fn new(width: usize, height: usize) -> Grid {
        let stride = width + 2;
        let nodes = stride * (height + 2);
        Grid {
            width,
            stride,
            arcs: vec![[0; 8]; nodes],
            terminal: vec![0; nodes],
            tree: vec![Tree::Free; nodes],
            parent: vec![NONE; nodes],
            stamp: vec![0; nodes],
            depth: vec![0; nodes],
            queued: vec![false; nodes],
            active: VecDeque::new(),
            orphans: VecDeque::new(),
            offsets: STEPS.map(|(x, y)| y as isize * stride as isize + x as isize),
            time: 0,
        }
    }

    fn node(&self, at: usize) -> usize {
        (at / self.width + 1) * self.stride + at % self.width + 1
    }

    /// Sets what it costs to call pixel `at` background (`source`) or foreground (`sink`).
    pub(crate) fn set_costs(&mut self, at: usize, background: i32, foreground: i32) {
        let node = self.node(at);
        self.terminal[node] = background.saturating_sub(foreground);
    }

    /// Sets what it costs to separate pixel `at` from its neighbour in direction `d`, both
    /// ways. The neighbour must lie inside the grid.
    pub(crate) fn set_link(&mut self, at: usize, d: usize, cost: i32) {
        let node = self.node(at);
        let near = self.next(node, d);
        self.arcs[node][d] = cost;
        self.arcs[near][d ^ 1] = cost;
    }

    fn next(&self, node: usize, d: usize) -> usize {
        node.wrapping_add_signed(self.offsets[d])
    }

    /// Finds the minimum cut; true = foreground, in row-major order.
    pub(crate) fn cut(mut self) -> Vec<bool> {
        for node in 0..self.terminal.len() {
            if self.terminal[node] != 0 {
                self.tree[node] = if self.terminal[node] > 0 { Tree::Source } else { Tree::Sink };
                self.parent[node] = TERMINAL;
                self.depth[node] = 1;
                self.activate(node);
            }
        }
        while let Some(&node) = self.active.front() {
            if self.tree[node] == Tree::Free {
                self.retire(node);
                continue;
            }
            match self.grow(node) {
                Some((source, d)) => {
                    self.time += 1;
                    self.augment(source, d);
                    while let Some(orphan) = self.orphans.pop_front() {
                        self.adopt(orphan);
                    }
                }
                None => self.retire(node),
            }
        }
        let height = self.terminal.len() / self.stride - 2;
        (0..self.width * height).map(|at| self.tree[self.node(at)] == Tree::Source).collect()
    }

    fn activate(&mut self, node: usize) {
        if !self.queued[node] {
            self.queued[node] = true;
            self.active.push_back(node);
        }
    }

    fn retire(&mut self, node: usize) {
        self.active.pop_front();
        self.queued[node] = false;
    }

    /// Capacity of the arc between a node of `tree` and its neighbour in direction `d`, in the
    /// sense of flow from source to sink.
    fn capacity(&self, tree: Tree, node: usize, d: usize) -> i32 {
        match tree {
            Tree::Source => self.arcs[node][d],
            Tree::Sink => self.arcs[self.next(node, d)][d ^ 1],
            Tree::Free => 0,
        }
    }

    /// Grows the tree of `node` by its neighbours; returns an arc (source side, direction)
    /// where the two trees meet.
    fn grow(&mut self, node: usize) -> Option<(usize, usize)> {
        let tree = self.tree[node];
        for d in 0..8 {
            if self.capacity(tree, node, d) <= 0 {
                continue;
            }
            let near = self.next(node, d);
            if self.tree[near] == Tree::Free {
                self.tree[near] = tree;
                self.hang(near, d ^ 1, node);
                self.activate(near);
            } else if self.tree[near] != tree {
                return Some(if tree == Tree::Source { (node, d) } else { (near, d ^ 1) });
            } else if self.stamp[near] <= self.stamp[node] && self.depth[near] > self.depth[node] + 1 {
                self.hang(near, d ^ 1, node);
            }
        }
        None
    }

    fn hang(&mut self, node: usize, to_parent: usize, parent: usize) {
        self.parent[node] = to_parent as u8;
        self.stamp[node] = self.stamp[parent];
        self.depth[node] = self.depth[parent] + 1;
    }

    /// Sends as much as fits along the path through the arc `d` of `source`.
    fn augment(&mut self, source: usize, d: usize) {
        let sink = self.next(source, d);
        let mut room = self.arcs[source][d];
        for start in [source, sink] {
            let tree = self.tree[start];
            let mut node = start;
            while self.parent[node] < TERMINAL {
                let (up, above) = self.step(node);
                // Flow runs down the source tree and up the sink tree.
                room = room.min(match tree {
                    Tree::Source => self.arcs[above][up ^ 1],
                    Tree::Sink | Tree::Free => self.arcs[node][up],
                });
                node = above;
            }
            room = room.min(self.terminal[node].abs());
        }
        self.arcs[source][d] -= room;
        self.arcs[sink][d ^ 1] = self.arcs[sink][d ^ 1].saturating_add(room);
        for start in [source, sink] {
            self.push(start, room);
        }
    }

    fn step(&self, node: usize) -> (usize, usize) {
        let up = usize::from(self.parent[node]);
        (up, self.next(node, up))
    }

    /// Takes `room` from every arc between `start` and its terminal.
    fn push(&mut self, start: usize, room: i32) {
        let from_source = self.tree[start] == Tree::Source;
        let mut node = start;
        while self.parent[node] < TERMINAL {
            let (up, above) = self.step(node);
            let (tail, d, head) = if from_source { (above, up ^ 1, node) } else { (node, up, above) };
            self.arcs[tail][d] -= room;
            self.arcs[head][d ^ 1] = self.arcs[head][d ^ 1].saturating_add(room);
            if self.arcs[tail][d] == 0 {
                self.parent[node] = ORPHAN;
                self.orphans.push_front(node);
            }
            node = above;
        }
        self.terminal[node] += if from_source { -room } else { room };
        if self.terminal[node] == 0 {
            self.parent[node] = ORPHAN;
            self.orphans.push_front(node);
        }
    }

    /// Finds a new parent for a node that lost its own, or sets it free.
    fn adopt(&mut self, node: usize) {
        let tree = self.tree[node];
        let mut best: Option<(usize, u32)> = None;
        for d in 0..8 {
            let near = self.next(node, d);
            if self.tree[near] != tree || self.capacity(tree, near, d ^ 1) <= 0 {
                continue;
            }
            if let Some(depth) = self.rooted(near)
                && best.is_none_or(|(_, least)| depth < least)
            {
                best = Some((d, depth));
            }
        }
        if let Some((d, depth)) = best {
            self.parent[node] = d as u8;
            self.stamp[node] = self.time;
            self.depth[node] = depth + 1;
            return;
        }
        for d in 0..8 {
            let near = self.next(node, d);
            if self.tree[near] != tree {
                continue;
            }
            if self.capacity(tree, near, d ^ 1) > 0 {
                self.activate(near);
            }
            if usize::from(self.parent[near]) == d ^ 1 {
                self.parent[near] = ORPHAN;
                self.orphans.push_back(near);
            }
        }
        self.tree[node] = Tree::Free;
        self.parent[node] = NONE;
    }

    /// Depth of a node below its terminal, `None` when its tree has been cut off; marks the
    /// path so that it is walked once per augmentation.
    fn rooted(&mut self, node: usize) -> Option<u32> {
        let mut walk = node;
        let mut steps = 0;
        let base = loop {
            if self.stamp[walk] == self.time && self.parent[walk] < ORPHAN {
                break self.depth[walk];
            }
            match self.parent[walk] {
                TERMINAL => {
                    self.stamp[walk] = self.time;
                    self.depth[walk] = 1;
                    break 1;
                }
                ORPHAN | NONE => return None,
                _ => walk = self.step(walk).1,
            }
            steps += 1;
        };
        let depth = base + steps;
        let mut mark = depth;
        let mut walk = node;
        while self.stamp[walk] != self.time {
            self.stamp[walk] = self.time;
            self.depth[walk] = mark;
            mark -= 1;
            walk = self.step(walk).1;
        }
        Some(depth)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    const W: usize = 4;
    const H: usize = 3;

    fn energy(labels: u32, costs: &[(i32, i32)], links: &[[i32; 8]]) -> i64 {
        let on = |at: usize| labels >> at & 1 == 1;
        let mut sum = 0;
        for at in 0..W * H {
            sum += i64::from(if on(at) { costs[at].1 } else { costs[at].0 });
            for d in [0, 2, 4, 6] {
                if let Some(near) = neighbour(at, d) {
                    sum += if on(at) == on(near) { 0 } else { i64::from(links[at][d]) };
                }
            }
        }
        sum
    }

    fn neighbour(at: usize, d: usize) -> Option<usize> {
        let (x, y) = ((at % W) as i32 + STEPS[d].0, (at / W) as i32 + STEPS[d].1);
        ((0..W as i32).contains(&x) && (0..H as i32).contains(&y)).then(|| y as usize * W + x as usize)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn the_cut_is_minimal(
            costs in proptest::collection::vec((0_i32..30, 0_i32..30), W * H),
            links in proptest::collection::vec(proptest::array::uniform8(0_i32..15), W * H),
        ) {
            let mut grid = Grid::new(W, H);
            for at in 0..W * H {
                grid.set_costs(at, costs[at].0, costs[at].1);
                for d in [0, 2, 4, 6] {
                    if neighbour(at, d).is_some() {
                        grid.set_link(at, d, links[at][d]);
                    }
                }
            }
            let cut = grid.cut().iter().enumerate().fold(0, |bits, (at, &on)| bits | u32::from(on) << at);
            let best = (0..1_u32 << (W * H)).map(|labels| energy(labels, &costs, &links)).min().unwrap();
            prop_assert_eq!(energy(cut, &costs, &links), best);
        }
    }
}
