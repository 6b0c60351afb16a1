//! `cirro capacity`: how many more instances fit. The scheduler itself is asked, with a plan that is only looked at.

use crate::{
    escape,
    failure::Failure,
    launch::forget,
    out, resolve,
    site::Site,
    verbs::{Key, create},
};
use cirro_models::{
    Count, Error, Id, Labels, Name, Page, Verbs,
    compute::{
        LaunchPlan,
        launch_group::{LaunchGroup, Template},
        launch_plan::{NewLaunchPlan, PlanIntent},
        placement::PlacementPolicy,
    },
    images::{
        MachineImage,
        machine_image::{ImageStatus, MachineImageFilter},
    },
};
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub(crate) struct CapacityArgs {
    /// The size of the instances; see `cirro flavor list`
    #[arg(long, value_name = "NAME|ID")]
    flavor: String,
    /// The image of the instances [default: any that is ready]
    #[arg(long, value_name = "NAME|ID")]
    image: Option<String>,
    /// Which of the nodes that have room would be taken
    #[arg(long, value_name = "spread|best_fit")]
    policy: Option<PlacementPolicy>,
    /// Look for no more than this many
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    most: i64,
}

impl CapacityArgs {
    pub(crate) async fn run(self, site: &Site) -> Result<(), Failure> {
        let template = Template {
            flavor_id: resolve::id(site, &self.flavor).await?,
            image_id: match &self.image {
                Some(image) => resolve::id(site, image).await?,
                None => any_image(site).await?,
            },
            ssh_key_ids: Vec::new(),
        };
        let plan = self.look(site, template).await?;
        let outlook = plan.outlook.unwrap_or_default();
        let whole = outlook.placed >= self.most;
        if site.is_json() {
            return out::json(&json!({"flavor": self.flavor, "fit": outlook.placed, "nodes": outlook.nodes,
                "at_least": whole, "short": outlook.short}));
        }
        let bound = if whole { " or more" } else { "" };
        let mut lines = vec![format!(
            "{}{bound} instances of flavor {} fit, on {} nodes",
            outlook.placed, self.flavor, outlook.nodes
        )];
        for short in &outlook.short {
            lines.push(format!("what ends it: {}", short.detail));
            lines.extend(short.reasons.iter().map(|reason| format!("  {reason}")));
        }
        out::text(&lines.iter().map(|line| escape::line(line) + "\n").collect::<String>())
    }
    /// A plan of as many as are looked for, which takes nothing and is gone afterwards.
    async fn look(&self, site: &Site, template: Template) -> Result<LaunchPlan, Failure> {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let name = Name::parse(&format!("capacity-{}", &id[id.len() - 12..])).map_err(Error::internal)?;
        let group = LaunchGroup { name: name.clone(), count: Count::new(self.most), template, labels: Labels::new() };
        let new = NewLaunchPlan {
            name,
            groups: vec![group],
            relationships: None,
            policy: self.policy.clone(),
            all_or_nothing: Some(false),
            max_failures: None,
            max_in_flight: None,
            expires_at: None,
            intent: Some(PlanIntent::Preview),
            user_data: None,
            labels: Labels::new(),
        };
        let plan = create::<LaunchPlan>(site, new, &Key::default(), None).await?.value;
        forget(site, plan.id).await?;
        Ok(plan)
    }
}

/// An image to ask with: which one matters only where it needs a larger disk than the flavor has.
async fn any_image(site: &Site) -> Result<Id<MachineImage>, Failure> {
    let filter = MachineImageFilter { status: Some(ImageStatus::Ready), ..MachineImageFilter::default() };
    let found = site
        .call(None, |ctx| {
            let filter = filter.clone();
            async move { MachineImage::list(&ctx, &filter, &Page::first(1)).await }
        })
        .await?;
    let image = found.value.items.first().map(|image| image.id);
    image.ok_or_else(|| Failure::usage("no image is ready to ask with: make one with `cirro image create`"))
}
