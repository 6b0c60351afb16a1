//! Names become ids. The API speaks of ids only; people speak of names, which mean something in their own project first,
//! then among public things.

use crate::{failure::Failure, nouns::Noun, site::Site};
use cirro_models::{Error, Id, Name, Page, Verbs, identity::Project};

/// The id of what is called this. An id is believed, and the verb says whether there is such a thing.
pub(crate) async fn id<M: Noun>(site: &Site, given: &str) -> Result<Id<M>, Failure> {
    if let Ok(id) = given.parse() {
        return Ok(id);
    }
    Ok(named::<M>(site, given).await?.id())
}

/// The same for something that may not be given.
pub(crate) async fn maybe<M: Noun>(site: &Site, given: Option<&String>) -> Result<Option<Id<M>>, Failure> {
    match given {
        Some(given) => id(site, given).await.map(Some),
        None => Ok(None),
    }
}

async fn named<M: Noun>(site: &Site, given: &str) -> Result<M, Failure> {
    let no_names = || Failure::usage(format!("a {} has no name: give its id, as its list shows it", M::WORD));
    if M::NAME.is_none() {
        return Err(no_names());
    }
    let name = Name::parse(given).map_err(Failure::usage)?;
    let filter = M::named(name).ok_or_else(no_names)?;
    let mut found = Vec::new();
    let mut page = Page::first(Page::MAX);
    loop {
        let (asked, filter) = (&page, &filter);
        let said = site.call(None, |ctx| async move { M::list(&ctx, filter, asked).await }).await?;
        found.extend(said.value.items);
        match said.value.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    // where names are unique on the whole site, the project says nothing
    let own = if M::UNIQUE.contains(&"project_id") { site.own_project().await? } else { None };
    pick(given, own, found)
}

/// The one that is meant: own before public, living before going away.
fn pick<M: Noun>(given: &str, own: Option<Id<Project>>, found: Vec<M>) -> Result<M, Failure> {
    let in_project = |row: &M| own.is_none() || row.project() == own;
    let (live, going): (Vec<M>, Vec<M>) = found.into_iter().partition(|row| row.meta().deleted_at.is_none());
    let (own_live, other) = live.into_iter().partition::<Vec<_>, _>(in_project);
    let (public, foreign) = other.into_iter().partition::<Vec<_>, _>(Noun::is_public);
    let own_going = going.into_iter().filter(in_project).collect();
    for mut candidates in [own_live, public, own_going] {
        match candidates.len() {
            0 => {}
            1 => return candidates.pop().ok_or_else(|| Error::not_found(M::PATH, given).into()),
            _ => {
                let ids: Vec<_> = candidates.iter().map(|row| row.id().to_string()).collect();
                let sentence =
                    format!("several {}s are called {given}: give the id of one of {}", M::WORD, ids.join(", "));
                return Err(Failure::usage(sentence));
            }
        }
    }
    match foreign.first() {
        // only an Operator sees those
        Some(row) => Err(Failure::from(Error::not_found(
            M::PATH,
            format!("{given} (in your project; another project has {}: give that id, or --project)", row.id()),
        ))),
        None => Err(Error::not_found(M::PATH, given).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cirro_models::images::MachineImage;
    use serde_json::json;

    fn image(project: Id<Project>, public: bool, deleted: bool) -> MachineImage {
        let mut row = json!({
            "id": Id::<MachineImage>::new(), "project_id": project, "name": "demo", "format": "qcow2", "public": public,
            "status": "ready", "version": 1, "created_by": "user:1",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"
        });
        if deleted {
            row["deleted_at"] = json!("2026-01-02T00:00:00Z");
        }
        serde_json::from_value(row).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn own_comes_before_public_and_living_before_going() {
        let (own, other) = (Id::new(), Id::new());
        let (mine, going) = (image(own, false, false), image(own, false, true));
        let (public, foreign) = (image(other, true, false), image(other, false, false));
        let picked = |rows: &[&MachineImage]| {
            pick("demo", Some(own), rows.iter().copied().cloned().collect())
                .map(|row| row.id)
                .map_err(|failure| failure.code())
        };
        assert_eq!(picked(&[&public, &going, &mine, &foreign]), Ok(mine.id));
        assert_eq!(picked(&[&public, &going, &foreign]), Ok(public.id));
        assert_eq!(picked(&[&going, &foreign]), Ok(going.id));
        assert_eq!(picked(&[&foreign]), Err(3));
        assert_eq!(picked(&[]), Err(3));
    }

    #[test]
    fn ambiguity_lists_the_ids() {
        let rows: Vec<_> = (0..2).map(|_| image(Id::new(), true, false)).collect();
        let ids: Vec<_> = rows.iter().map(|row| row.id.to_string()).collect();
        let failure = pick("demo", Some(Id::new()), rows).err().unwrap_or_else(|| panic!("it is ambiguous"));
        assert!(ids.iter().all(|id| failure.sentence().contains(id)), "{}", failure.sentence());
        assert_eq!(failure.code(), 2);
    }
}
