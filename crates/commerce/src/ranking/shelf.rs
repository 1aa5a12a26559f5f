//! The catalogue as ranking's shelf: names, prices and stock from its cache.

use async_trait::async_trait;

use super::ports::{Card, Shelf};
use crate::answer::StoreError;
use crate::catalogue::Catalogue;
use crate::ids::ProductId;

#[async_trait]
impl Shelf for Catalogue {
    async fn cards(&self, products: &[ProductId]) -> Result<Vec<Card>, StoreError> {
        let found = Catalogue::cards(self, products).await?;
        let card = |product: &crate::catalogue::Product| Card {
            product: product.id,
            name: product.name.as_str().to_owned(),
            price: product.price.get(),
            stock: product.stock,
        };
        Ok(found.iter().map(card).collect())
    }
}
