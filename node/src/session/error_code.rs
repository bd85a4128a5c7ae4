//! What can be wrong, as a word that programs read.

/// What was wrong with a line, or with the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// No such command, or a wrong argument.
    BadCommand,
    /// A command of a later version.
    NotInThisVersion,
    /// Not a valid name.
    BadName,
    /// Not UTF-8.
    BadText,
    /// Longer than a message may be.
    TooLong,
    /// There is no current group.
    NoCurrentGroup,
    /// Nobody knows this group.
    NoSuchGroup,
    /// Nobody knows this person.
    NoSuchUser,
    /// This person is known, and not here.
    NotHere,
    /// I am not in this group.
    NotAMember,
    /// I am in this group already, or still leaving it.
    AlreadyJoined,
    /// The group has ten members.
    GroupFull,
    /// I am in as many groups as I can be.
    TooManyGroups,
    /// As many addresses of peers are tried as can be.
    TooManyPeers,
    /// The group's members did not answer.
    Unreachable,
    /// Somebody else is signed in with my name.
    NameTaken,
    /// Too much is under way.
    Busy,
    /// No tracker answers.
    TrackerUnavailable,
    /// What is kept cannot be read.
    StoreUnavailable,
    /// The node ended before it was done.
    Abandoned,
}

impl ErrorCode {
    /// The code, as programs read it.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::BadCommand => "bad_command",
            ErrorCode::NotInThisVersion => "not_in_this_version",
            ErrorCode::BadName => "bad_name",
            ErrorCode::BadText => "bad_text",
            ErrorCode::TooLong => "too_long",
            ErrorCode::NoCurrentGroup => "no_current_group",
            ErrorCode::NoSuchGroup => "no_such_group",
            ErrorCode::NoSuchUser => "no_such_user",
            ErrorCode::NotHere => "not_here",
            ErrorCode::NotAMember => "not_a_member",
            ErrorCode::AlreadyJoined => "already_joined",
            ErrorCode::GroupFull => "group_full",
            ErrorCode::TooManyGroups => "too_many_groups",
            ErrorCode::TooManyPeers => "too_many_peers",
            ErrorCode::Unreachable => "unreachable",
            ErrorCode::NameTaken => "name_taken",
            ErrorCode::Busy => "busy",
            ErrorCode::TrackerUnavailable => "tracker_unavailable",
            ErrorCode::StoreUnavailable => "store_unavailable",
            ErrorCode::Abandoned => "abandoned",
        }
    }
}
