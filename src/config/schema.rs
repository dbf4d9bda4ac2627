//! `config/schema.json`, from which editors complete a configuration. The keys are those of [`raw`](super::raw), what is
//! said of them stands in `docs/configuration.md`, and here is what their values look like.
//!
//! The file is made by `VOYANDZ_WRITE_SCHEMA=1 cargo test --lib schema`; without the variable the test compares.

use super::{raw, template_store::TemplateStore};
use crate::access::{Action, Role};
use serde_json::{Map, Value, json};
use std::{fs, path::Path};

const DOCUMENT: &str = include_str!("../../docs/configuration.md");

/// What the rows of the tables of a section of the document say: key, default and meaning.
fn rows(title: &str) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let start = DOCUMENT.find(&format!("\n## {title}")).unwrap_or_else(|| panic!("no section {title}"));
    let section = DOCUMENT[start + 1..].split("\n## ").next().unwrap();
    section.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.strip_suffix(" |")?.split('|').map(str::trim);
        let (key, _, default, meaning) = (cells.next()?, cells.next()?, cells.next()?, cells.next()?);
        Some((key.strip_suffix('`')?, default, meaning))
    })
}

/// The keys of a section, each with its value by `value` and its description by the document.
fn section(title: &str, keys: &[&str], value: impl Fn(&str) -> Value) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| {
            let row = rows(title).find(|(name, ..)| name == key);
            let (_, default, meaning) = row.unwrap_or_else(|| panic!("{title} says nothing of `{key}`"));
            let default = if default.is_empty() { String::new() } else { format!(" Default: {default}.") };
            let mut value = value(key);
            value["description"] = json!(format!("{meaning}{default}").replace('`', ""));
            ((*key).to_owned(), value)
        })
        .collect();
    json!({"type": ["object", "null"], "additionalProperties": false, "properties": properties})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// Names with a value each.
fn named(value: &str) -> Value {
    json!({"type": ["object", "null"], "additionalProperties": reference(value)})
}

fn one_of(names: &[&str]) -> Value {
    json!({"enum": names})
}

/// A scalar, of which YAML and an editor may think what they want. In a set it may be a placeholder.
fn scalar() -> Value {
    json!({"type": ["string", "number", "boolean", "null"]})
}

/// One of some names in most files; in a set it may be a placeholder.
fn name_of(names: &[&str]) -> Value {
    json!({"anyOf": [one_of(names), {"type": "string", "pattern": "\\{.*\\}"}, {"type": "null"}]})
}

fn flag() -> Value {
    json!({"anyOf": [{"type": ["boolean", "null"]}, {"type": "string", "pattern": "^([Yy]es|YES|[Nn]o|NO|[Oo]n|ON|[Oo]ff|OFF)$|\\{.*\\}"}]})
}

fn list_of_scalars() -> Value {
    json!({"type": ["array", "null"], "items": scalar()})
}

/// A text, or a list of them.
fn texts() -> Value {
    json!({"type": ["string", "array", "null"], "items": {"type": "string"}})
}

/// What somebody may do: actions and roles, each with the streams that it is for.
fn permissions() -> Value {
    let names: Vec<_> = Role::ALL.map(Role::name).into_iter().chain(Action::ALL.map(Action::name)).collect();
    let one = json!({"anyOf": [one_of(&names), {"type": "string"}]});
    json!({"anyOf": [one, {"type": "array", "items": one}, {"type": "null"}]})
}

/// The arguments of each template that is built in, for where `use` names it.
fn template_arguments() -> Value {
    let argument = |(name, default): (String, Option<String>)| {
        let mut value = scalar();
        value["description"] =
            json!(default.map_or_else(|| "Required.".to_owned(), |text| format!("Default: {text}.")));
        (name, value)
    };
    let rules = TemplateStore::built_in().known().into_iter().map(|template| {
        let properties: Map<_, _> = template.arguments.into_iter().map(argument).collect();
        let named = json!({"use": {"const": template.name}});
        json!({"if": {"required": ["use"], "properties": named}, "then": {"properties": properties}})
    });
    json!({"allOf": rules.collect::<Vec<_>>()})
}

/// A pipeline or a command: written out, or by `use:`.
fn text_or_use(extra: &[&str]) -> Value {
    let names: Vec<_> = TemplateStore::built_in().known().into_iter().map(|template| template.name).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    // Completion offers the built-in names; others are as good.
    let types: Vec<_> = ["string"].iter().chain(extra).copied().chain(["object", "null"]).collect();
    let mut value = json!({"type": types, "items": scalar(), "required": ["use"], "properties": {"use": scalar()}});
    // All that are built in are pipelines.
    if extra.is_empty() {
        value["properties"]["use"] = json!({"anyOf": [one_of(&names), scalar()]});
        value["allOf"] = json!([reference("template_arguments")]);
    }
    value
}

fn schema() -> Value {
    let mode = json!({"anyOf": [one_of(&["on-demand", "continuous", "autostart"]), {"type": "number", "minimum": 0},
                                {"type": "string", "pattern": "\\{.*\\}"}, {"type": "null"}]});
    let mut file = section("Top level", raw::keys::<raw::File>(), |key| match key {
        "pages" => reference("pages"),
        "auth" => reference("auth"),
        "tls" => reference("tls"),
        "rtmp" => reference("rtmp"),
        "rtsp" => reference("rtsp"),
        "webrtc" => reference("webrtc"),
        "srt" => reference("srt"),
        "srs" => reference("srs"),
        "api" => reference("api"),
        "hooks" => named("hook"),
        "telemetry" => reference("telemetry"),
        "publish" => named("pattern"),
        "templates" => named("template"),
        "sets" => named("set"),
        "feeds" => named("feed"),
        "streams" => named("stream"),
        "include" | "pipelines_dir" => json!({"type": ["array", "string", "null"], "items": scalar()}),
        "listenport" => json!({"type": ["integer", "null"], "minimum": 0, "maximum": 65535}),
        "memory_max" => json!({"type": ["integer", "string", "null"], "pattern": "^[0-9.]+[KMGT]?$"}),
        "listenaddr" | "logdir" | "statedir" | "files" => json!({"type": ["string", "null"]}),
        other => panic!("what is `{other}`?"),
    });
    let pages = section("`pages:`", raw::keys::<raw::Pages>(), |key| match key {
        "stat" | "stat_json" => json!({"anyOf": [flag(), {"type": "string", "pattern": "^/"}]}),
        _ => flag(),
    });
    let auth = section("`auth:`", raw::keys::<raw::Auth>(), |key| match key {
        "users" => named("user"),
        "tokens" => named("token"),
        "jwt" => reference("jwt"),
        "hook" => reference("auth_hook"),
        "proxy_protocol" => flag(),
        "link_keys" => json!({"type": ["object", "null"], "additionalProperties": {"type": "string", "minLength": 32}}),
        "allow" => {
            json!({"type": ["object", "null"], "propertyNames": one_of(&Action::ALL.map(Action::name)),
                   "additionalProperties": texts()})
        }
        "anyone" => permissions(),
        _ => texts(),
    });
    let jwt = section("`auth.jwt:`", raw::keys::<raw::Jwt>(), |_| json!({"type": "string"}));
    let auth_hook = section("`auth.hook:`", raw::keys::<raw::AuthHook>(), |key| match key {
        "url" => json!({"type": "string", "pattern": "^https?://"}),
        "form" => name_of(&crate::access::HookForm::ALL.map(crate::access::HookForm::name)),
        _ => scalar(),
    });
    let user = section("`auth.users:`", raw::keys::<raw::User>(), |key| match key {
        "may" => permissions(),
        "from" | "certificate" => texts(),
        _ => json!({"type": "string"}),
    });
    let token = section("`auth.tokens:`", raw::keys::<raw::Token>(), |key| match key {
        "may" => permissions(),
        "from" => texts(),
        _ => json!({"type": "string"}),
    });
    let tls = section("`tls:`", raw::keys::<raw::Tls>(), |key| match key {
        "plain" => name_of(&super::Plain::ALL.map(super::Plain::name)),
        "names" => texts(),
        "acme" => reference("acme"),
        _ => json!({"type": "string"}),
    });
    let acme = section("`tls.acme:`", raw::keys::<raw::Acme>(), |key| match key {
        "names" | "contact" => texts(),
        "accept_terms" => flag(),
        "challenge" => name_of(&super::Challenge::ALL.map(super::Challenge::name)),
        "directory" => json!({"type": "string", "pattern": "^https?://"}),
        _ => json!({"type": "string"}),
    });
    let rtmp = section("`rtmp:`", raw::keys::<raw::Rtmp>(), |_| scalar());
    let rtsp = section("`rtsp:`", raw::keys::<raw::Rtsp>(), |key| match key {
        "udp" => json!({"type": ["integer", "boolean", "string", "null"], "minimum": 0, "maximum": 65534}),
        "multicast" => reference("multicast"),
        _ => scalar(),
    });
    let multicast = section("`rtsp.multicast:`", raw::keys::<raw::RtspMulticast>(), |key| match key {
        "port" => json!({"type": ["integer", "string", "null"], "minimum": 2, "maximum": 65500}),
        "ttl" => json!({"type": ["integer", "string", "null"], "minimum": 1, "maximum": 255}),
        _ => json!({"type": ["string", "null"]}),
    });
    let webrtc = section("`webrtc:`", raw::keys::<raw::WebRtc>(), |key| match key {
        "hosts" | "ice_servers" => texts(),
        "tcp" => flag(),
        "channels" => named("channel"),
        _ => json!({"type": ["integer", "null"], "minimum": 0, "maximum": 65535}),
    });
    let channel = section("`webrtc.channels:`", raw::keys::<raw::Channel>(), |key| match key {
        "url" => json!({"type": "string", "pattern": "^wss?://"}),
        _ => json!({"type": ["string", "array"], "items": scalar()}),
    });
    let srs = section("`srs:`", raw::keys::<raw::Srs>(), |_| scalar());
    let srt = section("`srt:`", raw::keys::<raw::Srt>(), |key| match key {
        "listen" | "passphrase" | "stream" => json!({"type": "string"}),
        _ => scalar(),
    });
    let hook = section("`hooks:`", raw::keys::<raw::Hook>(), |key| match key {
        "url" => json!({"type": "string", "pattern": "^https?://"}),
        "secret" => {
            let secret = json!({"type": "string", "pattern": "^whsec_"});
            json!({"anyOf": [secret, {"type": "array", "items": secret, "maxItems": 2}]})
        }
        "form" => name_of(&super::EventForm::ALL.map(super::EventForm::name)),
        "during" => name_of(&super::Activity::ALL.map(super::Activity::name)),
        "every" => json!({"type": ["number", "null"], "minimum": 1, "maximum": 86400}),
        "run" => json!({"type": ["string", "array"], "items": scalar()}),
        _ => texts(),
    });
    let telemetry = section("`telemetry:`", raw::keys::<raw::Telemetry>(), |key| match key {
        "otlp" => json!({"type": "string", "pattern": "^https?://"}),
        "sample" => json!({"type": ["number", "null"], "minimum": 0, "maximum": 1}),
        _ => json!({"type": ["object", "null"], "maxProperties": 16, "additionalProperties": scalar()}),
    });
    let api = section("`api:`", raw::keys::<raw::Api>(), |key| match key {
        "config" => name_of(&super::Editing::ALL.map(super::Editing::name)),
        "socket" | "file" => json!({"type": "string"}),
        _ => flag(),
    });
    let template = section("`templates:`", raw::keys::<raw::Template>(), |key| match key {
        "pipeline" => json!({"type": "string"}),
        "command" => json!({"type": ["string", "array"], "items": scalar()}),
        "defaults" => reference("arguments"),
        other => panic!("what is `{other}`?"),
    });
    let set = section("`sets:`", raw::keys::<raw::Set>(), |key| match key {
        "for" => {
            json!({"anyOf": [named("arguments"), list_of_scalars(), {"type": "string", "pattern": "^\\d+\\.\\.\\d+$"}]})
        }
        "defaults" => reference("arguments"),
        "feeds" => named("feed"),
        "streams" => named("stream"),
        other => panic!("what is `{other}`?"),
    });
    let labels = || json!({"type": ["object", "null"], "maxProperties": 32, "additionalProperties": scalar()});
    let feed = section("`feeds:`", raw::keys::<raw::Feed>(), |key| match key {
        "title" => scalar(),
        "labels" => labels(),
        "pipeline" => text_or_use(&[]),
        "command" => text_or_use(&["array"]),
        "file" | "url" => scalar(),
        "loop" | "restart" | "no-resurrect" => flag(),
        "transport" => name_of(&["tcp", "udp", "auto"]),
        "latency" => json!({"type": ["number", "null"], "minimum": 0, "maximum": 10}),
        "fps" => json!({"type": ["number", "string", "null"]}),
        "feed" => scalar(),
        "mode" => mode.clone(),
        "publish" => json!({"anyOf": [reference("publish"), {"const": true}]}),
        other => panic!("what is `{other}`?"),
    });
    let publish = section("`publish:`", raw::keys::<raw::Publish>(), |key| match key {
        "protocols" => {
            let protocol = name_of(&super::PublishProtocol::ALL.map(super::PublishProtocol::name));
            json!({"anyOf": [protocol, {"type": "array", "items": protocol}]})
        }
        "second" => name_of(&super::SecondPublisher::ALL.map(super::SecondPublisher::name)),
        "layers" => json!({"type": "array", "items": scalar()}),
        _ => scalar(),
    });
    let mut pattern = section("Patterns of `publish:`", raw::keys::<raw::Pattern>(), |key| match key {
        "streams" => named("stream"),
        _ => scalar(),
    });
    if let (Some(own), Some(shared)) = (pattern["properties"].as_object_mut(), publish["properties"].as_object()) {
        own.extend(shared.clone());
    }
    let stream = section("`streams:`", raw::keys::<raw::Stream>(), |key| match key {
        "title" => scalar(),
        "labels" => labels(),
        "feed" | "url" | "mimetype" | "placeholder" => scalar(),
        "feeds" => list_of_scalars(),
        "type" => name_of(&["stream", "shot"]),
        "client" => name_of(&["shared", "exclusive"]),
        "container" => name_of(&crate::media::Container::ALL.map(crate::media::Container::name)),
        "pipeline" => reference("pipelines"),
        "command" => text_or_use(&["array"]),
        "outputs" => {
            let container = name_of(&super::outputs::ALL.map(crate::media::Container::name));
            json!({"anyOf": [name_of(&["all"]), {"type": "array", "items": container}]})
        }
        "repair" => json!({"type": ["array", "null"], "items": name_of(&["audio", "video"])}),
        "alternatives" => {
            let entries = super::Codec::all().map(|codec| (codec.name().to_owned(), reference("pipelines")));
            json!({"type": ["object", "null"], "properties": Value::Object(entries.collect()), "additionalProperties": false})
        }
        "video" | "audio" => {
            let one = json!({"anyOf": [reference(key), scalar()]});
            json!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": 4}]})
        }
        "overlay" | "hls" | "record" => reference(key),
        "renditions" => named("rendition"),
        "push" => {
            let one = json!({"anyOf": [reference(key), scalar()]});
            json!({"anyOf": [one, {"type": "array", "items": one, "maxItems": 16}]})
        }
        "throughput" => flag(),
        other => panic!("what is `{other}`?"),
    });
    let video = section("`video:`", raw::keys::<raw::Video>(), |key| match key {
        "codec" => name_of(&super::codec::VideoCodec::ALL.map(super::codec::VideoCodec::name)),
        "preset" => name_of(&super::av_keys::PRESETS),
        "encoder" => {
            let names = super::ENCODERS.iter().map(|encoder| encoder.name);
            name_of(&["auto", "software"].into_iter().chain(names).collect::<Vec<_>>())
        }
        _ => scalar(),
    });
    let audio = section("`audio:`", raw::keys::<raw::Audio>(), |key| match key {
        "codec" => name_of(&super::codec::AudioCodec::ALL.map(super::codec::AudioCodec::name)),
        _ => scalar(),
    });
    let overlay =
        section("`overlay:`", raw::keys::<raw::Overlay>(), |key| if key == "text" { scalar() } else { flag() });
    let rendition = section("`renditions:`", raw::keys::<raw::Rendition>(), |key| match key {
        "preset" => name_of(&super::av_keys::PRESETS),
        "pipeline" => reference("pipelines"),
        _ => scalar(),
    });
    let hls = section("`hls:`", raw::keys::<raw::Hls>(), |_| scalar());
    let record = section("`record:`", raw::keys::<raw::Record>(), |key| match key {
        "format" => name_of(&super::record::FORMATS.map(crate::media::Container::name)),
        "plan" => name_of(&super::Plan::ALL.map(super::Plan::name)),
        "keep" => reference(key),
        _ => scalar(),
    });
    let push = section("`push:`", raw::keys::<raw::Push>(), |_| scalar());
    let keep = section("`keep:`", raw::keys::<raw::Keep>(), |_| scalar());
    let argument = json!({"type": ["string", "number", "boolean", "array", "null"], "items": scalar()});
    file["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    file["title"] = json!("voyandz");
    let pipelines = json!({"anyOf": [text_or_use(&[]), {"type": "array", "items": text_or_use(&[])}]});
    file["$defs"] = json!({
        "pipelines": pipelines,
        "template_arguments": template_arguments(),
        "pages": pages,
        "auth": auth,
        "tls": tls,
        "acme": acme,
        "api": api,
        "hook": hook,
        "telemetry": telemetry,
        "rtmp": rtmp,
        "rtsp": rtsp,
        "multicast": multicast,
        "webrtc": webrtc,
        "channel": channel,
        "srt": srt,
        "srs": srs,
        "user": user,
        "token": token,
        "jwt": jwt,
        "auth_hook": auth_hook,
        "template": template,
        "set": set,
        "feed": feed,
        "publish": publish,
        "pattern": pattern,
        "stream": stream,
        "video": video,
        "audio": audio,
        "overlay": overlay,
        "hls": hls,
        "rendition": rendition,
        "record": record,
        "keep": keep,
        "push": push,
        "arguments": {"type": ["object", "null"], "additionalProperties": argument},
    });
    file
}

#[test]
fn the_schema_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/schema.json");
    let fresh = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("VOYANDZ_WRITE_SCHEMA").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == fresh, "config/schema.json is old: VOYANDZ_WRITE_SCHEMA=1 cargo test --lib schema");
}

#[test]
fn shipped_files_name_the_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let entries = fs::read_dir(root.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    for path in entries.chain([root.join("voyandz.yaml")]) {
        let text = fs::read_to_string(&path).unwrap();
        let schema = text.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema="));
        let schema = schema.unwrap_or_else(|| panic!("{} names no schema", path.display()));
        assert!(path.parent().unwrap().join(schema).exists(), "{}", path.display());
    }
}

#[test]
fn every_example_of_the_document_loads() {
    let blocks = DOCUMENT.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap());
    let mut count = 0;
    for block in blocks.filter(|block| !block.starts_with("# not a whole file")) {
        let faults = super::parse(block).err().unwrap_or_default();
        // Most examples of streams leave out their feeds.
        let others: Vec<_> =
            faults.iter().filter(|fault| !fault.message.contains("expected the name of a feed")).collect();
        assert!(others.is_empty(), "{others:?} in\n{block}");
        count += 1;
    }
    assert!(count > 15);
}
