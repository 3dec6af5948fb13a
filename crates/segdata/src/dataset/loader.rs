//! Training batches, decoded and cut ahead of time by threads of their own.
//!
//! What a batch holds is a function of the seed and the batch's number alone: epoch `e` visits the samples in a
//! permutation drawn for `e`, and the crop of sample `i` in epoch `e` is drawn for `(e, i)`. So a loader that starts at
//! any number gives the same batches as one that got there, with any number of threads.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::augment::{AugmentOptions, CropWindow, Cropper};
use super::split::Split;
use crate::error::{Error, Result};
use crate::image::preprocessing::{Normaliser, Preprocessing};
use crate::rng::{Purpose, Rng};

/// One batch of crops.
pub struct Batch {
    /// `[N, 3, S, S]`, normalised.
    pub images_nchw: Vec<f32>,
    /// `[N, S, S]` class ids or void.
    pub labels_nhw: Vec<u8>,
    /// The samples' ids, for messages.
    pub ids: Vec<String>,
}

/// What decides the contents of the batches.
#[derive(Clone, Debug)]
pub struct BatchPlan {
    /// Seed of the run.
    pub seed: u64,
    /// Images in a batch.
    pub batch: usize,
    /// Scale, crop and flip.
    pub augment: AugmentOptions,
    /// Input convention of the network.
    pub preprocessing: Preprocessing,
}

/// Batches that a worker may be ahead of the trainer; more only costs memory.
const BATCHES_AHEAD: usize = 2;

/// More workers than this wait on the disk or on each other.
const MOST_WORKERS: usize = 8;

/// Batches in order, from a given number on, without end.
pub struct Loader {
    /// Worker `w` of `W` makes the batches `w, w + W, ..`.
    workers: Vec<Receiver<Result<Batch>>>,
    next: u64,
}

impl Loader {
    /// Starts making batches of `split` from number `first` on, on as many threads as the thread pool has, at most
    /// eight. Ends with the loader.
    ///
    /// # Errors
    /// An empty split.
    pub fn start(split: Arc<Split>, plan: BatchPlan, first: u64) -> Result<Self> {
        if split.is_empty() {
            return Err(Error::data("the training split is empty; training needs at least one image"));
        }
        let count = rayon::current_num_threads().clamp(1, MOST_WORKERS) as u64;
        let workers = (0..count)
            .map(|worker| {
                let (sender, receiver) = sync_channel(BATCHES_AHEAD);
                let (split, plan) = (Arc::clone(&split), plan.clone());
                // Batch numbers of this worker: those from `first` on that leave the remainder `worker`.
                let start = first + (worker + count - first % count) % count;
                std::thread::spawn(move || work(&split, &plan, start, count, &sender));
                receiver
            })
            .collect();
        Ok(Loader { workers, next: first })
    }

    /// The next batch; waits until it is there.
    ///
    /// # Errors
    /// A sample that cannot be read, by name.
    pub fn next_batch(&mut self) -> Result<Batch> {
        let worker = (self.next % self.workers.len() as u64) as usize;
        self.next += 1;
        self.workers[worker].recv().unwrap_or_else(|_| Err(Error::internal("a data thread ended before its time")))
    }
}

fn work(split: &Split, plan: &BatchPlan, start: u64, stride: u64, sender: &SyncSender<Result<Batch>>) {
    let mut cropper = Cropper::new(plan.augment.crop, Normaliser::new(&plan.preprocessing));
    let mut order = EpochOrder::new(plan.seed, split.len());
    let mut number = start;
    loop {
        let batch = make_batch(split, plan, number, &mut cropper, &mut order);
        let failed = batch.is_err();
        // The trainer hanging up is the normal end.
        if sender.send(batch).is_err() || failed {
            return;
        }
        number += stride;
    }
}

fn make_batch(
    split: &Split,
    plan: &BatchPlan,
    number: u64,
    cropper: &mut Cropper,
    order: &mut EpochOrder,
) -> Result<Batch> {
    let pixels = plan.augment.crop * plan.augment.crop;
    let mut images_nchw = vec![0.0; plan.batch * 3 * pixels];
    let mut labels_nhw = vec![0; plan.batch * pixels];
    let mut ids = Vec::with_capacity(plan.batch);
    let slots = images_nchw.chunks_exact_mut(3 * pixels).zip(labels_nhw.chunks_exact_mut(pixels));
    for (slot, (chw, labels)) in slots.enumerate() {
        let (epoch, index) = order.at(number * plan.batch as u64 + slot as u64);
        let sample = split.load(index)?;
        let mut rng = Rng::derive(plan.seed, Purpose::Augment, &[epoch, index as u64]);
        let window = CropWindow::draw(sample.image.size(), &plan.augment, &mut rng);
        cropper.cut(&sample, &window, chw, labels)?;
        ids.push(sample.id);
    }
    Ok(Batch { images_nchw, labels_nhw, ids })
}

/// The order of the samples in each epoch: a full permutation.
struct EpochOrder {
    seed: u64,
    samples: usize,
    /// The epoch last asked for.
    cached: Option<(u64, Vec<usize>)>,
}

impl EpochOrder {
    fn new(seed: u64, samples: usize) -> Self {
        EpochOrder { seed, samples, cached: None }
    }

    /// Epoch and sample of the `position`-th image that training sees.
    fn at(&mut self, position: u64) -> (u64, usize) {
        let epoch = position / self.samples as u64;
        let within = (position % self.samples as u64) as usize;
        match &self.cached {
            Some((cached, order)) if *cached == epoch => (epoch, order[within]),
            _ => {
                let mut order: Vec<usize> = (0..self.samples).collect();
                Rng::derive(self.seed, Purpose::Shuffle, &[epoch]).shuffle(&mut order);
                let index = order[within];
                self.cached = Some((epoch, order));
                (epoch, index)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset;
    use crate::dataset::drawn::DrawnVoc;

    #[test]
    fn the_thread_pool_decides_how_many_threads_load_and_not_what_they_load() {
        let drawn = DrawnVoc::new(5, 0, 40, 30);
        let split = Arc::new(Dataset::open(drawn.root(), None).unwrap().split("train").unwrap());
        let augment = AugmentOptions { crop: 16, scale_min: 0.5, scale_max: 2.0, flip: true };
        let plan = BatchPlan { seed: 3, batch: 2, augment, preprocessing: Preprocessing::default() };
        let batches = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut loader = pool.install(|| Loader::start(split.clone(), plan.clone(), 1)).unwrap();
            assert_eq!(loader.workers.len(), threads.min(MOST_WORKERS));
            let next = |_| loader.next_batch().map(|b| (b.images_nchw, b.labels_nhw, b.ids)).unwrap();
            (0..6).map(next).collect::<Vec<_>>()
        };
        let one = batches(1);
        assert!(one == batches(3) && one == batches(20), "batches depend on the number of threads");
    }

    #[test]
    fn every_epoch_visits_each_sample_once_in_a_new_order() {
        let mut order = EpochOrder::new(5, 10);
        let epochs: Vec<Vec<usize>> = (0..3).map(|e| (0..10).map(|i| order.at(e * 10 + i).1).collect()).collect();
        for epoch in &epochs {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(epochs[0], epochs[1]);
        assert_ne!(epochs[1], epochs[2]);
        // Coming from elsewhere gives the same.
        assert_eq!(EpochOrder::new(5, 10).at(17).1, epochs[1][7]);
    }
}
