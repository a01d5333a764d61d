//! `user` and `group`: bind first, then become somebody else, keeping the capability to bind low ports for reloads.

use crate::cycle::settings::Settings;

/// Becomes what the settings say. Without `user` nothing happens.
///
/// # Errors
/// In words.
#[cfg(unix)]
pub fn drop_to(settings: &Settings) -> Result<(), String> {
    use nix::unistd::{getuid, setgid, setuid};
    let Some(name) = &settings.user else { return Ok(()) };
    if !getuid().is_root() {
        tracing::warn!(user = name, "user: only root can become another user; going on as uid {}", getuid());
        return Ok(());
    }
    let (user, gid) = looked_up(name, settings.group.as_deref())?;
    keep_capabilities(true);
    let c_name = std::ffi::CString::new(user.name.as_str()).map_err(|_| format!("user {name}: malformed name"))?;
    join_groups(&c_name, gid).map_err(|e| format!("group of {name}: {e}"))?;
    setgid(gid).map_err(|e| format!("group of {name}: {e}"))?;
    setuid(user.uid).map_err(|e| format!("user {name}: {e}"))?;
    keep_capabilities(false);
    Ok(())
}

/// Whether there is whom the settings name.
///
/// # Errors
/// In words.
#[cfg(unix)]
pub fn check(settings: &Settings) -> Result<(), String> {
    match &settings.user {
        // Others cannot become anybody, and go on as they are.
        Some(name) if nix::unistd::getuid().is_root() => looked_up(name, settings.group.as_deref()).map(drop),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn looked_up(name: &str, group: Option<&str>) -> Result<(nix::unistd::User, nix::unistd::Gid), String> {
    use nix::unistd::{Group, User};
    let user = match name.parse::<u32>() {
        Ok(n) => User::from_uid(n.into()),
        Err(_) => User::from_name(name),
    };
    let user =
        user.map_err(|e| format!("user {name}: {e}"))?.ok_or_else(|| format!("user {name}: there is no such user"))?;
    let gid = match group {
        None => user.gid,
        Some(g) => {
            let group = match g.parse::<u32>() {
                Ok(n) => Group::from_gid(n.into()),
                Err(_) => Group::from_name(g),
            };
            group
                .map_err(|e| format!("group {g}: {e}"))?
                .ok_or_else(|| format!("group {g}: there is no such group"))?
                .gid
        }
    };
    Ok((user, gid))
}

/// Nobody is named elsewhere.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn check(_: &Settings) -> Result<(), String> {
    Ok(())
}

/// Elsewhere there is nobody to become.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn drop_to(_: &Settings) -> Result<(), String> {
    Ok(())
}

/// Takes the groups of a user, and `gid`; where they are not known only that.
#[cfg(target_os = "linux")]
fn join_groups(user: &std::ffi::CStr, gid: nix::unistd::Gid) -> nix::Result<()> {
    nix::unistd::initgroups(user, gid).or_else(|_| nix::unistd::setgroups(&[gid]))
}

/// The same where only the system's own call knows all groups.
#[cfg(all(unix, not(target_os = "linux")))]
fn join_groups(user: &std::ffi::CStr, gid: nix::unistd::Gid) -> std::io::Result<()> {
    crate::services::platform::init_groups(user, gid.as_raw())
}

/// Before the change: keep what is permitted. After it: only what a reload needs.
#[cfg(target_os = "linux")]
fn keep_capabilities(before: bool) {
    use caps::{CapSet, Capability};
    if before {
        // Without it a reload cannot bind a low port; that is said when it happens.
        let _ = caps::securebits::set_keepcaps(true);
        return;
    }
    let keep = [Capability::CAP_NET_BIND_SERVICE].into_iter().collect();
    let kept = caps::set(None, CapSet::Effective, &keep).and_then(|()| caps::set(None, CapSet::Permitted, &keep));
    if let Err(e) = kept {
        tracing::warn!("cannot keep CAP_NET_BIND_SERVICE ({e}): a reload cannot bind ports below 1024");
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn keep_capabilities(_: bool) {}

/// Runs `f` under a file mask.
#[cfg(unix)]
pub fn with_umask<R>(mask: libc::mode_t, f: impl FnOnce() -> R) -> R {
    use nix::sys::stat::{Mode, umask};
    let before = umask(Mode::from_bits_truncate(mask));
    let r = f();
    umask(before);
    r
}

/// Elsewhere there is none.
#[cfg(not(unix))]
pub fn with_umask<R>(_: u32, f: impl FnOnce() -> R) -> R {
    f()
}
