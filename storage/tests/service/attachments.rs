//! Attachments: one at a time, and free only when the node says so.

use super::site::{Site, conflict, plugged, wait_until, wanted};
use cirro_models::{
    Deleted, Error, Id, Verbs,
    compute::Instance,
    storage::{Attachment, Volume, assignment::StorageReport},
};
use cirro_server::{OwnerContext, testkit::Backend};
use futures_util::future::join_all;

#[tokio::test]
async fn a_volume_is_lent_and_comes_back() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let member = site.actors.member();
        let ctx = member.over(&site.server);
        let [volume, other] = [site.available("data").await, site.available("other").await];
        let instance = site.instance(site.actors.project, Some(site.node)).await;
        let attachment = site.attach(&member, volume, instance).await.unwrap();
        assert_eq!((attachment.status.to_string().as_str(), attachment.node_id), ("attaching", Some(site.node)));
        assert_eq!(site.status(volume).await, "attached");
        let spec = site.assignment(site.node).await.attachments.remove(0);
        assert_eq!((spec.id, spec.volume_id, spec.instance_id, spec.detach), (attachment.id, volume, instance, false));

        let attached = StorageReport { attachments: vec![plugged(attachment.id)], ..site.report() };
        site.tell(site.node, &attached).await.unwrap();
        let row = Attachment::get(&ctx, attachment.id).await.unwrap();
        assert_eq!((row.status.to_string().as_str(), row.device.as_deref()), ("attached", Some("vdb")));

        // neither deleted nor attached twice while it is lent
        let refused = conflict(Volume::delete(&ctx, volume).await);
        assert!(refused.contains(&instance.to_string()) && refused.contains("detach it first"), "{refused}");
        let refused = conflict(site.attach(&member, volume, instance).await);
        assert!(refused.contains("is attached to instance"), "{refused}");
        // nor when the node says unasked that it is back
        let detached = |report| StorageReport { detached: vec![attachment.id], ..report };
        site.tell(site.node, &detached(site.report())).await.unwrap();
        assert_eq!(site.status(volume).await, "attached");

        let begun = Attachment::delete(&ctx, attachment.id).await.unwrap();
        assert!(matches!(begun, Deleted::Begun(row) if row.status.to_string() == "detaching"));
        assert!(site.assignment(site.node).await.attachments[0].detach);
        let refused = conflict(site.attach(&member, volume, instance).await);
        assert!(refused.contains("still being detached"), "{refused}");
        assert!(conflict(Volume::delete(&ctx, volume).await).contains("still being detached"));
        site.attach(&member, other, instance).await.unwrap();

        site.tell(site.node, &detached(site.report())).await.unwrap();
        assert!(Attachment::get(&ctx, attachment.id).await.unwrap_err().is_not_found());
        assert_eq!(site.status(volume).await, "available");
        assert!(matches!(Volume::delete(&ctx, volume).await.unwrap(), Deleted::Begun(_)));
        assert!(conflict(site.attach(&member, volume, instance).await).contains("being deleted"));
    }
}

#[tokio::test]
async fn only_what_belongs_together_comes_together() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let (member, ours, theirs) = (site.actors.member(), site.actors.project, site.actors.elsewhere);
        let volume = site.available("data").await;
        let here = site.instance(ours, Some(site.node)).await;
        let foreign = site.instance(theirs, Some(site.node)).await;
        for (actor, volume, instance, field) in [
            (&member, Id::new(), here, "volume_id"),
            (&member, volume, Id::new(), "instance_id"),
            (&member, volume, foreign, "instance_id"),
            (&site.actors.outsider(), volume, foreign, "volume_id"),
            // who reads everything still works in one project
            (&site.actors.operator(), volume, foreign, "instance_id"),
        ] {
            let refused = site.attach(actor, volume, instance).await.unwrap_err();
            assert!(matches!(&refused, Error::Invalid { field: named, .. } if named == field), "{field}: {refused}");
        }
        let viewer = site.attach(&site.actors.viewer(), volume, here).await.unwrap_err();
        assert!(matches!(viewer, Error::Forbidden { .. }), "{viewer}");
        let other = site.new_node("two").await;
        let far = site.instance(ours, Some(other)).await;
        assert!(conflict(site.attach(&member, volume, far).await).contains("another machine"));
        let nowhere = site.instance(ours, None).await;
        assert!(conflict(site.attach(&member, volume, nowhere).await).contains("no node yet"));
        site.begin_delete(here).await;
        assert!(conflict(site.attach(&member, volume, here).await).contains("being deleted"));
        let young = site.volume(&member, "young", 1).await.unwrap().id;
        let here = site.instance(ours, Some(site.node)).await;
        assert!(conflict(site.attach(&member, young, here).await).contains("is creating"));
        // nothing of it is left
        assert_eq!(site.status(volume).await, "available");
        assert!(site.assignment(site.node).await.attachments.is_empty());
    }
}

/// Inside the process and on several threads, so that the transactions really meet.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_gets_it() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let volume = site.available("data").await;
        let instance = site.instance(site.actors.project, Some(site.node)).await;
        let tries = (0..20).map(|_| {
            let (ctx, new) = (site.actors.member().inside(&site.storage), wanted(volume, instance));
            tokio::spawn(async move { Attachment::create(&ctx, new).await })
        });
        let outcomes = join_all(tries).await.into_iter().map(Result::unwrap);
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 19));
        for outcome in lost {
            assert!(conflict(outcome).contains("is attached to instance"));
        }
        assert_eq!(site.assignment(site.node).await.attachments.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attached_or_deleted_but_not_both() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let instance = site.instance(site.actors.project, Some(site.node)).await;
        for n in 0..4 {
            let volume = site.available(&format!("v{n}")).await;
            let (one, other) = (site.actors.member().inside(&site.storage), site.actors.member().inside(&site.storage));
            let new = wanted(volume, instance);
            let attaching = tokio::spawn(async move { Attachment::create(&one, new).await });
            let deleting = tokio::spawn(async move { Volume::delete(&other, volume).await });
            let (attached, deleted) = (attaching.await.unwrap(), deleting.await.unwrap());
            assert_ne!(attached.is_ok(), deleted.is_ok(), "{attached:?} {deleted:?}");
            let expected = if attached.is_ok() { "attached" } else { "deleting" };
            assert_eq!(site.status(volume).await, expected);
            conflict(if attached.is_ok() { deleted.map(drop) } else { attached.map(drop) });
        }
    }
}

#[tokio::test]
async fn a_deleted_instance_gives_its_disks_back() {
    for backend in Backend::BOTH {
        let site = Site::new(backend).await;
        let member = site.actors.member();
        let [before, during, forgotten] =
            [site.available("a").await, site.available("b").await, site.available("c").await];
        let mut attachments = Vec::new();
        for volume in [before, during, forgotten] {
            let instance = site.instance(site.actors.project, Some(site.node)).await;
            attachments.push((instance, site.attach(&member, volume, instance).await.unwrap().id));
        }
        site.begin_delete(attachments[0].0).await;
        let storage = site.storage.clone();
        let task = tokio::spawn(cirro_storage::tasks::run(move || storage.own_context()));
        let detaching = async |n: usize| {
            let attachment = Attachment::get(&site.service(), attachments[n].1).await.unwrap();
            attachment.meta.deleted_at.is_some()
        };
        wait_until("what was deleted before the start is found", async || detaching(0).await).await;
        site.begin_delete(attachments[1].0).await;
        wait_until("what is deleted now is heard of", async || detaching(1).await).await;
        assert!(!detaching(2).await);
        assert_eq!(site.status(before).await, "attached", "until the node has confirmed");
        let back = StorageReport { detached: attachments.iter().map(|(_, id)| *id).collect(), ..site.report() };
        site.tell(site.node, &back).await.unwrap();
        let statuses = [site.status(before).await, site.status(during).await, site.status(forgotten).await];
        assert_eq!(statuses, ["available", "available", "attached"]);
        task.abort();

        // an instance that compute does not know may run on: a start takes nothing from it
        let forgotten_instance = attachments[2].0;
        let compute = site.compute.own_context();
        let forget = compute.write(move |tx| {
            let row = tx.get::<Instance>(forgotten_instance)?;
            tx.remove(&row)
        });
        forget.await.unwrap();
        let marker = site.instance(site.actors.project, Some(site.node)).await;
        let volume = site.available("d").await;
        let last = site.attach(&member, volume, marker).await.unwrap().id;
        site.begin_delete(marker).await;
        let storage = site.storage.clone();
        let task = tokio::spawn(cirro_storage::tasks::run(move || storage.own_context()));
        wait_until("the start has looked", async || {
            Attachment::get(&site.service(), last).await.unwrap().meta.deleted_at.is_some()
        })
        .await;
        assert!(!detaching(2).await);
        task.abort();
    }
}
