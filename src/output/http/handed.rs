//! What an answer hands on to whoever writes it. Extensions of a response must be cloneable, hence the wrapping.

use std::sync::{Arc, Mutex, PoisonError};

/// Something that is taken out once.
#[derive(Debug)]
pub struct Handed<T>(Arc<Mutex<Option<T>>>);

impl<T> Clone for Handed<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Handed<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Handed<T> {
    /// With this in it.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(Some(value))))
    }

    /// Puts something in.
    pub fn put(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    /// What is in it; once.
    pub fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
