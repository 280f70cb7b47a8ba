//! In which order images go.

use std::cmp::Reverse;
use std::collections::HashMap;

use longshore_model::registry::Image;

/// Places of images, the one first that goes first: an index before what it lists, however late that was pushed, and an image
/// before what is about it. What was pushed first goes first where that leaves a choice. Digests make no cycle; what one
/// had, would be in no place.
pub(super) fn order(images: &[&Image]) -> Vec<usize> {
    let behind = behind(images);
    let mut ahead = vec![0_usize; images.len()];
    behind.iter().flatten().for_each(|at| ahead[*at] += 1);
    let mut free: Vec<usize> = (0..images.len()).filter(|at| ahead[*at] == 0).collect();
    free.sort_by_key(|at| (Reverse(images[*at].pushed_at), Reverse(images[*at].digest.as_str())));
    let mut order = Vec::with_capacity(images.len());
    while let Some(at) = free.pop() {
        order.push(at);
        for next in &behind[at] {
            ahead[*next] -= 1;
            if ahead[*next] == 0 {
                free.push(*next);
            }
        }
    }
    order
}

/// Of each image, the places of those that go only behind it.
fn behind(images: &[&Image]) -> Vec<Vec<usize>> {
    let places: HashMap<&str, usize> =
        images.iter().enumerate().map(|(at, image)| (image.digest.as_str(), at)).collect();
    let place = |digest: &String| places.get(digest.as_str()).copied();
    let mut behind: Vec<Vec<usize>> =
        images.iter().map(|image| image.images.iter().filter_map(place).collect()).collect();
    for (at, image) in images.iter().enumerate() {
        if let Some(subject) = image.subject.as_ref().and_then(place) {
            behind[subject].push(at);
        }
    }
    behind
}
