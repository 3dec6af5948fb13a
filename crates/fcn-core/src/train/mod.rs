//! Training.

pub mod checkpoint;
pub mod config;
pub mod loss;
pub mod optim;
pub mod run;
pub mod run_log;
pub mod schedule;
pub mod stages;
pub mod validation;
