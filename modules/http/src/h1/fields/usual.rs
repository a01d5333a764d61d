//! The loop over the lines of a section: those that are as they were before are taken, the others read.

use super::Fields;
use crate::h1::{
    line::usual,
    wide::{Look, Looking},
};

/// Reads lines off the front of `left`, which ends at the offset `end`, for as long as there is room and they are what nearly
/// all are: see [`usual`]. What it leaves is for [`any`].
pub(super) struct Usual<'f, 'b> {
    pub(super) fields: &'f mut Fields,
    pub(super) left: &'b [u8],
    pub(super) end: usize,
    pub(super) most: u16,
}

impl<'b> Looking for Usual<'_, 'b> {
    type Found = &'b [u8];

    #[inline(always)]
    fn look(self, look: impl Look) -> &'b [u8] {
        let Self { fields, mut left, end, most } = self;
        if u16::try_from(end).is_err() {
            // A value's length might not fit.
            return left;
        }
        // What the loop changes is not in memory meanwhile.
        let (mut seen, mut repeated, mut count) = (fields.seen, fields.repeated, fields.count);
        let room = fields.room.len().min(usize::from(most));
        let before = &fields.before;
        // How many bytes from here on are as before; not known yet.
        let mut common = None;
        // As long as the lines have the names that they had.
        let mut alike = true;
        for place in fields.room.get_mut(count..room).unwrap_or_default() {
            alike &= count < before.lines;
            let same = if alike {
                let common = *common.get_or_insert_with(|| before.common(look, place.name_at, left));
                Some(place.usual_len()).filter(|len| *len <= common).and_then(|len| left.split_at_checked(len))
            } else {
                None
            };
            match same {
                // Else the value has something behind it.
                Some((line, next)) if line.ends_with(b"\r\n") => {
                    // Those in front of it may be longer or shorter than they were.
                    let name_at = (end - left.len()) as u32;
                    place.value_at = place.value_at.wrapping_sub(place.name_at).wrapping_add(name_at);
                    place.name_at = name_at;
                    common = common.map(|common| common - line.len());
                    left = next;
                }
                _ => {
                    let Some((header, next)) = usual(look, left, end, place.id) else { break };
                    alike &= header.id == place.id;
                    *place = header;
                    left = next;
                    common = None;
                }
            }
            let id = place.id;
            if seen.has(id) {
                repeated = repeated.with(id);
            } else {
                seen = seen.with(id);
                fields.first[id as usize] = count as u16;
            }
            count += 1;
        }
        (fields.seen, fields.repeated, fields.count) = (seen, repeated, count);
        left
    }
}
