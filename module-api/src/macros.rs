//! The two macros of a module: `directive!` and `export_module!`.

/// Declares a directive of this module. It does not compile without documentation.
///
/// ```
/// use anyproxy_module_api::*;
/// directive! {
///     /// Answers every connection with this text and closes it.
///     "hello", Contexts::LOCAL,
///     .args(&[ArgDesc::new("text", Kind::Text, "What to say.").required()])
///     .role(Role::Handler, "hello")
/// }
/// ```
///
/// ```compile_fail
/// use anyproxy_module_api::*;
/// directive! { "hello", Contexts::LOCAL }
/// ```
#[macro_export]
macro_rules! directive {
    ($(#[doc = $doc:literal])+ $name:literal, $contexts:expr $(, $($build:tt)*)?) => {
        $crate::inventory::submit! {
            $crate::abi::export::Declared {
                krate: env!("CARGO_CRATE_NAME"),
                desc: $crate::DirectiveDesc::new(
                    $name,
                    concat!($($doc, "\n"),+),
                    $contexts,
                ) $($($build)*)?,
            }
        }
    };
}

/// Exports module `M`: the note in the file, the root module, and what initialises the image.
///
/// `export_module!(M)` takes id and version from the crate (`anyproxy_tcp` is `tcp`). In the dylib of a module whose code
/// is another crate: `export_module!(tcp::Tcp, crate = "anyproxy_tcp")` names the crate that declares the directives.
/// `provides = ["sample.echo" 1.0]` and `requires = ["sample.echo" 1.0]` say in the file what `Registry::provide` and
/// `Registry::require` say when it runs.
#[macro_export]
macro_rules! export_module {
    ($module:ty $(, id = $id:literal)? $(, crate = $krate:literal)?
        $(, provides = [$($pid:literal $pversion:literal),* $(,)?])?
        $(, requires = [$($rid:literal $rversion:literal),* $(,)?])? $(,)?) => {
        const _: () = {
            const ID: &str = $crate::abi::export_macro::module_id(env!("CARGO_CRATE_NAME"), &[$($id)?]);
            const KRATE: &str = $crate::abi::export_macro::first(&[$($krate,)? env!("CARGO_CRATE_NAME")]);

            #[used]
            #[cfg_attr(any(target_os = "linux", target_os = "freebsd", target_os = "android"), unsafe(link_section = ".note.anyproxy"))]
            #[cfg_attr(not(any(target_os = "linux", target_os = "freebsd", target_os = "android")), unsafe(export_name = "anyproxy_note"))]
            pub static NOTE: $crate::abi::note::Note = $crate::abi::note::Note::new(
                ID,
                env!("CARGO_PKG_VERSION"),
                cfg!(panic = "unwind"),
                &[$($($crate::abi::export_macro::contract($pid, stringify!($pversion))),*)?],
                &[$($($crate::abi::export_macro::contract($rid, stringify!($rversion))),*)?],
            );

            static DESC: std::sync::OnceLock<$crate::abi::module::ModuleDesc> = std::sync::OnceLock::new();

            unsafe extern "C" fn init(host: *const ()) -> *const () {
                // SAFETY: the host calls this with its table, as the root's contract says.
                unsafe { $crate::abi::export::init::<$module>(host, ID, env!("CARGO_PKG_VERSION"), KRATE, &DESC) }.cast()
            }

            $crate::abi_root!(init);
        };
    };
}

/// The symbol that abi_stable looks for, spelled as its own attribute would.
#[doc(hidden)]
#[macro_export]
macro_rules! abi_root {
    ($init:ident) => {
        use $crate::abi::root::{self as root, PrefixTypeTrait as _};

        fn make() -> root::RootRef {
            root::Root { init: $init }.leak_into_prefix()
        }

        extern "C" fn erased() -> root::RootModuleResult {
            root::__call_root_module_loader(make)
        }

        // SAFETY: `erased` returns a `RootRef`.
        #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
        pub static ROOT: root::LibHeader =
            unsafe { root::LibHeader::from_constructor::<root::RootRef>(erased, root::CheckTypeLayout::Yes) };
    };
}
