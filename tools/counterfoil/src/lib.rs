//! The operator's command line.

#[cfg(test)]
mod story;
