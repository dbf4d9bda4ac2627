//! What can be done, and the roles that name lists of it. Pure.

/// What an identity may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Receive live media of a stream, by any protocol, and see its player.
    View,
    /// Take stills of a stream.
    Still,
    /// Receive recordings of a stream.
    Playback,
    /// Send media into a stream.
    Publish,
    /// Read the state of the server: pages, metrics, events.
    Status,
    /// Start, stop and delete recordings of a stream.
    Record,
    /// End a viewer or publisher of a stream, restart its feeds.
    Kick,
    /// Read the configuration, without its secrets.
    ConfigRead,
    /// Change feeds and streams, by what runs no program of the caller's choice.
    ConfigWrite,
    /// Change anything of the configuration.
    ConfigExec,
    /// Manage users, tokens, links and sessions.
    Users,
}

impl Action {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::View,
        Self::Still,
        Self::Playback,
        Self::Publish,
        Self::Status,
        Self::Record,
        Self::Kick,
        Self::ConfigRead,
        Self::ConfigWrite,
        Self::ConfigExec,
        Self::Users,
    ];

    /// As the configuration names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Still => "still",
            Self::Playback => "playback",
            Self::Publish => "publish",
            Self::Status => "status",
            Self::Record => "record",
            Self::Kick => "kick",
            Self::ConfigRead => "config:read",
            Self::ConfigWrite => "config:write",
            Self::ConfigExec => "config:exec",
            Self::Users => "users",
        }
    }

    /// The action with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// Whether it is done to a stream.
    pub const fn is_of_a_stream(self) -> bool {
        matches!(self, Self::View | Self::Still | Self::Playback | Self::Publish | Self::Record | Self::Kick)
    }
}

/// A name for a list of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Watches.
    Viewer,
    /// Also records and ends viewers.
    Operator,
    /// Also changes feeds and streams.
    Editor,
    /// Does everything.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Editor, Self::Admin];

    /// As the configuration names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether the action is in its list.
    pub const fn includes(self, action: Action) -> bool {
        let least = match action {
            Action::View | Action::Still | Action::Status => Self::Viewer,
            Action::Playback | Action::Record | Action::Kick => Self::Operator,
            Action::ConfigRead | Action::ConfigWrite => Self::Editor,
            Action::Publish | Action::ConfigExec | Action::Users => Self::Admin,
        };
        self as u8 >= least as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (number, action) in Action::ALL.into_iter().enumerate() {
            assert_eq!((Action::from_name(action.name()), action as usize), (Some(action), number));
        }
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
            assert_eq!(Action::from_name(role.name()), None);
        }
        assert_eq!((Action::from_name("View"), Role::from_name("")), (None, None));
    }

    #[test]
    fn each_role_includes_the_one_before() {
        let count = |role: Role| Action::ALL.into_iter().filter(|action| role.includes(*action)).count();
        assert_eq!(Role::ALL.map(count), [3, 6, 8, 11]);
        for action in Action::ALL {
            for pair in Role::ALL.windows(2) {
                assert!(!pair[0].includes(action) || pair[1].includes(action), "{action:?}");
            }
        }
    }
}
