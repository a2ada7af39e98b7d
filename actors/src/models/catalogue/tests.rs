//! What names mean, what is inherited, what providers may add, and what an unknown name is answered with.

use std::collections::HashSet;

use super::*;
use crate::provider::ListedModel;

fn catalogue(configured: &[(&str, &[&str])]) -> Catalogue {
    let owned = configured
        .iter()
        .map(|(name, extra)| ((*name).into(), extra.iter().map(|id| (*id).to_owned()).collect()));
    Catalogue::new(owned).unwrap()
}

#[test]
fn the_data_file_holds_together() {
    let catalogue = catalogue(&[("kimi", &[]), ("glm", &[])]);
    assert_eq!(catalogue.models().len(), 28);
    let mut names = HashSet::new();
    for model in catalogue.models() {
        assert!(model.output_tokens_max < model.context_tokens, "{model:?}");
        assert!(names.insert(model.id.as_str().to_owned()), "{model:?}");
        for alias in &model.aliases {
            assert!(names.insert(alias.clone()), "{alias} is taken");
        }
        if let Some(price) = model.price {
            assert!(price.cached_input <= price.input && price.input <= price.output, "{model:?}");
        }
    }
    for gone in ["kimi-k2.5", "kimi-latest", "moonshot-v1-8k", "kimi-k2-thinking"] {
        assert!(catalogue.resolve(gone).is_err(), "{gone}");
    }
}

#[test]
fn a_name_is_an_id_an_alias_or_a_full_name() {
    let catalogue = catalogue(&[("kimi", &[]), ("mirror", &["kimi-k2.6", "local/odd", "kimi"])]);
    let found = |name: &str| {
        let model = catalogue.resolve(name).unwrap();
        (model.provider.as_str().to_owned(), model.id.as_str().to_owned())
    };
    let is = |provider: &str, id: &str| (provider.to_owned(), id.to_owned());
    assert_eq!(found("kimi-k2.6"), is("kimi", "kimi-k2.6"));
    assert_eq!(found("k3"), is("kimi", "kimi-k3"));
    assert_eq!(found("mirror/kimi-k2.6"), is("mirror", "kimi-k2.6"));
    assert_eq!(found("local/odd"), is("mirror", "local/odd"));
    assert_eq!(found("mirror/local/odd"), is("mirror", "local/odd"));
    assert_eq!(found("kimi"), is("mirror", "kimi"), "an exact id goes before an alias");
    assert_eq!(found(" Kimi-K2.6 "), is("kimi", "kimi-k2.6"));
    assert_eq!(found("K3"), is("kimi", "kimi-k3"));
    assert_eq!(found("MIRROR/Local/Odd"), is("mirror", "local/odd"));
    assert_eq!(found("Mirror"), is("mirror", "kimi-k2.6"));
    assert_eq!(found("mirror"), is("mirror", "kimi-k2.6"), "a provider's name is its default");
    assert_eq!(catalogue.default_of(&"kimi".into()).unwrap().id.as_str(), "kimi-k2.6");
}

#[test]
fn only_configured_providers_have_models() {
    let catalogue = catalogue(&[("glm", &[])]);
    let refusal = catalogue.resolve("kimi-k2.6").unwrap_err();
    let message = refusal.to_string();
    assert!(
        message.contains("glm-5.3") && !message.contains("kimi") && message.contains("configuration"),
        "{message}"
    );
    let aliases = catalogue.models()[0].aliases.join(", ");
    assert!(!aliases.is_empty() && message.contains(&format!(" ({aliases})")), "{message}");
    assert_eq!(refusal.to_call_error().kind, ErrorKind::UnknownModel);
}

#[test]
fn an_added_id_inherits_what_is_known() {
    let catalogue = catalogue(&[("plan", &["glm-5.3", "something-new"])]);
    let known = catalogue.resolve("glm-5.3").unwrap();
    assert_eq!((known.provider.as_str(), known.context_tokens), ("plan", 1_048_576));
    let unknown = catalogue.resolve("something-new").unwrap();
    assert_eq!((unknown.context_tokens, unknown.output_tokens_max), (131_072, 16_384));
    assert_eq!((unknown.thinking, unknown.price), (Thinking::None, None));
}

#[test]
fn what_providers_list_is_added_and_takes_no_name_away() {
    let configured = catalogue(&[("alpha", &["own"]), ("kimi", &[])]);
    let listed = |id: &str, context_tokens| ListedModel { id: id.to_owned(), context_tokens };
    let of_alpha = vec![
        listed("kimi-k2.6", Some(7)),
        listed("k3", None),
        listed("kimi", None),
        listed("kimi/kimi-k3", None),
        listed("new-one", Some(9_000)),
        listed("own", Some(5)),
    ];
    let listings = [("alpha".into(), of_alpha), ("kimi".into(), vec![listed("kimi-k9", None)])].into();
    let merged = configured.with(&listings);
    let is = |name: &str, provider: &str, id: &str| {
        let model = merged.resolve(name).unwrap();
        assert_eq!((model.provider.as_str(), model.id.as_str()), (provider, id), "{name}");
    };
    is("kimi-k2.6", "kimi", "kimi-k2.6");
    is("alpha/kimi-k2.6", "alpha", "kimi-k2.6");
    is("k3", "kimi", "kimi-k3");
    is("kimi", "kimi", "kimi-k2.6");
    is("kimi/kimi-k3", "kimi", "kimi-k3");
    is("alpha", "alpha", "own");
    is("kimi-k9", "kimi", "kimi-k9");
    assert_eq!(merged.resolve("new-one").unwrap().context_tokens, 9_000);
    assert_eq!(merged.resolve("own").unwrap().context_tokens, 131_072, "what is configured stands");
    assert_eq!(merged.resolve("alpha/kimi-k2.6").unwrap().context_tokens, 262_144, "what is known stands");
    let without = configured.with(&Listings::new());
    assert_eq!(without.models().len(), configured.models().len());
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let catalogue = catalogue(&[("kimi", &[]), ("glm", &[])]);
    let said = |name: &str| catalogue.resolve(name).unwrap_err().to_string();
    assert!(said("kimi-k26").contains("did you mean kimi-k2.6"), "{}", said("kimi-k26"));
    assert!(said("GLM5.3").contains("glm-5.3"), "{}", said("GLM5.3"));
    assert!(!said("zzz-unlike-anything").contains("did you mean"));
    assert!(said(&"kimi".repeat(100_000)).len() < 2_000);
}

#[test]
fn where_there_is_no_model_that_is_said_instead() {
    // A server with a key of which no model is known has none either.
    for configured in [&[][..], &[("own", &[][..])]] {
        let said = catalogue(configured).resolve("kimi-k3").unwrap_err().to_string();
        assert!(said.starts_with("there is no model to ask: "), "{said}");
        assert!(said.contains("MOONSHOT_API_KEY") && said.contains("`models`"), "{said}");
    }
}
