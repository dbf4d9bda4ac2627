//! Templates of pipelines and commands: those that are built in, those of `.launch` files, those of the configuration.

use super::template::{Argument, Arguments, Hole, Piece, holes, is_argument_name, pieces};
use indexmap::{IndexMap, IndexSet};
use std::sync::Arc;

/// Name and text of every file of `pipelines/`.
const BUILT_IN: [(&str, &str); 11] = [
    ("alsa", include_str!("../../pipelines/alsa.launch")),
    ("h264-aac-ts", include_str!("../../pipelines/h264-aac-ts.launch")),
    ("mjpeg", include_str!("../../pipelines/mjpeg.launch")),
    ("rtsp", include_str!("../../pipelines/rtsp.launch")),
    ("screen", include_str!("../../pipelines/screen.launch")),
    ("test-picture", include_str!("../../pipelines/test-picture.launch")),
    ("test-tone", include_str!("../../pipelines/test-tone.launch")),
    ("v4l2", include_str!("../../pipelines/v4l2.launch")),
    ("v4l2-alsa", include_str!("../../pipelines/v4l2-alsa.launch")),
    ("v4l2-mjpeg", include_str!("../../pipelines/v4l2-mjpeg.launch")),
    ("vp8-opus-webm", include_str!("../../pipelines/vp8-opus-webm.launch")),
];
/// What the head of a `.launch` file must have.
const HEAD: [&str; 3] = ["needs", "takes", "gives"];

/// What `use:` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) body: Body,
    /// Arguments that need not be given.
    pub(super) defaults: Arguments,
}

/// What a template makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// A gst-launch pipeline.
    Pipeline(Vec<Piece>),
    /// The words of a command.
    Command(Vec<Vec<Piece>>),
}

impl Template {
    /// All placeholders, in the order of the text.
    pub(super) fn holes(&self) -> Vec<&Hole> {
        match &self.body {
            Body::Pipeline(pieces) => holes(pieces).collect(),
            Body::Command(words) => words.iter().flat_map(|pieces| holes(pieces)).collect(),
        }
    }

    /// Its arguments, each once, with their defaults as one would write them.
    fn arguments(&self) -> Vec<(String, Option<String>)> {
        let names: IndexSet<_> = self.holes().into_iter().map(|hole| &hole.name).collect();
        let default = |name: &String| {
            self.defaults.get(name).map(|default| match default {
                Argument::Text(text) => text.clone(),
                Argument::Words(words) => shell_words::join(words),
            })
        };
        names.into_iter().map(|name| (name.clone(), default(name))).collect()
    }
}

/// What a configuration may say after `use:`, for editors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownTemplate {
    /// Its name.
    pub name: String,
    /// Whether it makes a command, not a pipeline.
    pub is_command: bool,
    /// Its arguments in the order of its text, with their defaults; one without a default must be given.
    pub arguments: Vec<(String, Option<String>)>,
}

/// Templates by their names. A later one hides an earlier one of the same name.
#[derive(Debug, Clone)]
pub(super) struct TemplateStore(IndexMap<String, Arc<Template>>);

impl TemplateStore {
    /// The templates that are built in.
    pub(super) fn built_in() -> Self {
        // A test reads every one of them.
        let templates = BUILT_IN.iter().filter_map(|(name, text)| Some(((*name).to_owned(), launch_file(text).ok()?)));
        Self(templates.map(|(name, template)| (name, Arc::new(template))).collect())
    }

    pub(super) fn add(&mut self, name: &str, template: Template) {
        self.0.insert(name.to_owned(), Arc::new(template));
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Template>> {
        self.0.get(name).cloned()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// All of them, by name.
    pub(super) fn known(&self) -> Vec<KnownTemplate> {
        let known = self.0.iter().map(|(name, template)| KnownTemplate {
            name: name.clone(),
            is_command: matches!(template.body, Body::Command(_)),
            arguments: template.arguments(),
        });
        let mut known: Vec<_> = known.collect();
        known.sort_by(|one, other| one.name.cmp(&other.name));
        known
    }
}

/// Reads a `.launch` file: a head of comments, then a pipeline with placeholders.
///
/// # Errors
/// The line that is wrong, counted from 1, and why.
pub(super) fn launch_file(text: &str) -> Result<Template, (usize, String)> {
    let mut defaults = Arguments::new();
    let mut taken = Vec::new();
    let mut missing = HEAD.to_vec();
    let mut body = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let Some(comment) = line.strip_prefix('#') else {
            body.push(line);
            continue;
        };
        let Some((key, value)) = comment.split_once(':') else { continue };
        missing.retain(|wanted| *wanted != key.trim());
        if key.trim() != "takes" {
            continue;
        }
        let words = shell_words::split(value).map_err(|_| (index + 1, "has a quote that is not closed".to_owned()))?;
        for word in words {
            let (name, default) =
                word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            if !is_argument_name(name) {
                return Err((index + 1, format!("expected `name` or `name=default`, found {word:?}")));
            }
            taken.push((index + 1, name.to_owned()));
            defaults.extend(default.map(|value| (name.to_owned(), Argument::Text(value.to_owned()))));
        }
    }
    if let Some(key) = missing.first() {
        return Err((1, format!("expected a line `# {key}: ...` in the head")));
    }
    let first = text.lines().position(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
    let first = 1 + first.ok_or((1, "expected a gst-launch pipeline below the head".to_owned()))?;
    let body = pieces(body.join(" ").trim()).map_err(|message| (first, message))?;
    let template = Template { body: Body::Pipeline(body), defaults };
    let holes = template.holes();
    if let Some(hole) = holes.iter().find(|hole| !taken.iter().any(|(_, name)| *name == hole.name)) {
        return Err((first, format!("`{{{0}}}` is not in the line `# takes:`; a brace as such is `{{{{`", hole.name)));
    }
    if let Some((line, name)) = taken.iter().find(|(_, name)| !holes.iter().any(|hole| hole.name == *name)) {
        return Err((*line, format!("the text has no `{{{name}}}`")));
    }
    Ok(template)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    #[test]
    fn every_file_of_the_folder_is_built_in_and_documented() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
        let mut files: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        let built_in: Vec<_> = BUILT_IN.iter().map(|(name, _)| format!("{name}.launch")).collect();
        let mut sorted = built_in.clone();
        sorted.sort();
        assert_eq!(files, sorted);
        let document = include_str!("../../docs/configuration.md").split_once("\n## `templates:`").unwrap().1;
        for (name, text) in BUILT_IN {
            launch_file(text).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
            let takes = text.lines().find_map(|line| line.strip_prefix("# takes: ")).unwrap();
            let row = document.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("the document says nothing of `{name}`"));
            for word in shell_words::split(takes).unwrap() {
                assert!(row.contains(&format!("`{word}`")), "the document says nothing of `{word}` of `{name}`");
            }
        }
    }

    #[test]
    fn what_can_be_used_has_its_arguments_once() {
        let mut library = TemplateStore::built_in();
        let text =
            "# needs: x\n# takes: size device=/dev/video0\n# gives: x\na={device} ! b={size.width},c={size.height}";
        library.add("alsa", launch_file(text).unwrap());
        let words = ["cat", "{more...}"].map(|word| pieces(word).unwrap()).to_vec();
        let more = Argument::Words(vec!["a b".to_owned(), "c".to_owned()]);
        library.add("read", Template { body: Body::Command(words), defaults: [("more".to_owned(), more)].into() });
        let known = library.known();
        assert!(known.is_sorted_by_key(|template| &template.name) && known.len() == BUILT_IN.len() + 1, "{known:?}");
        let of = |name: &str| known.iter().find(|template| template.name == name).unwrap().clone();
        let argument = |name: &str, default: Option<&str>| (name.to_owned(), default.map(str::to_owned));
        let arguments = vec![argument("device", Some("/dev/video0")), argument("size", None)];
        assert_eq!(of("alsa"), KnownTemplate { name: "alsa".to_owned(), is_command: false, arguments });
        let arguments = vec![argument("more", Some("'a b' c"))];
        assert_eq!(of("read"), KnownTemplate { name: "read".to_owned(), is_command: true, arguments });
    }

    #[test]
    fn what_is_wrong_with_a_file_has_a_line() {
        let check = |text: &str, line: usize, message: &str| {
            assert_eq!(launch_file(text), Err((line, message.to_owned())), "{text}");
        };
        check("a ! b", 1, "expected a line `# needs: ...` in the head");
        check("# needs: x\n# takes: 'a\n# gives: x\na", 2, "has a quote that is not closed");
        check("# needs: x\n# takes: a\n# gives: x\n", 1, "expected a gst-launch pipeline below the head");
        check("# needs: x\n# takes: a b\n# gives: x\n{a}", 2, "the text has no `{b}`");
        check("# needs: x\n# takes: =b\n# gives: x\n{a}", 2, "expected `name` or `name=default`, found \"=b\"");
        check(
            "# needs: x\n# takes:\n# gives: x\n\n{a}",
            5,
            "`{a}` is not in the line `# takes:`; a brace as such is `{{`",
        );
    }
}
