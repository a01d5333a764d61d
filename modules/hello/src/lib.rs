//! The hello module.
