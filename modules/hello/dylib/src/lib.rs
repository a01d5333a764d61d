//! The hello module as a dynamic library.
