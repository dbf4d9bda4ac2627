//! A value that a response carries to the code that writes it. Extensions of a response must be cloneable, hence the wrapping.

use std::sync::{Arc, Mutex, PoisonError};

/// A value that can be taken once. Clones share it.
#[derive(Debug)]
pub struct TakeOnce<T>(Arc<Mutex<Option<T>>>);

impl<T> Clone for TakeOnce<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for TakeOnce<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> TakeOnce<T> {
    /// Contains `value`.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(Some(value))))
    }

    /// Stores a value, in place of the one before.
    pub fn put(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    /// The value, if it has not been taken yet.
    pub fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
